"""The note that says where a command runs: in this process, on a private Ray or on a cluster."""

from __future__ import annotations

import os

from mimic_ray.base.progress import Progress, ProgressCallback
from mimic_ray.base.resources import Resources
from mimic_ray.base.text import plain
from mimic_ray.cli import console


def with_run_location_note(
    on_progress: ProgressCallback, resources: Resources, *, can_be_in_process: bool = True
) -> ProgressCallback:
    """Prints the note before the first progress, which comes after all checks."""
    noted = False

    def report(progress: Progress) -> None:
        nonlocal noted
        if not noted:
            noted = True
            for sentence in run_location_notes(resources, can_be_in_process=can_be_in_process):
                console.note(sentence)
        on_progress(progress)

    return report


def run_location_notes(resources: Resources, *, can_be_in_process: bool = True) -> list[str]:
    """Where the command runs, unless the user asked for this process; and an unused RAY_ADDRESS."""
    from mimic_ray.distributed.cluster_address import VARIABLE, find_cluster

    if resources.local:
        return []
    if resources.address is not None:
        return [f"Ray cluster: {find_cluster(resources.address)}"]
    notes = []
    if can_be_in_process and resources.in_process:
        notes.append("One worker runs in this process, without Ray; --ray starts one.")
    unused = os.environ.get(VARIABLE, "")
    if unused and "://" not in unused:  # http:// is the job server of other commands
        notes.append(f"{VARIABLE} is {plain(unused)} and not used: --address auto uses it.")
    return notes
