"""Whether a job can succeed on a cluster, found out before it is sent."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path

from mimic_ray.base.errors import ResourceError, StorageError, UsageError, option
from mimic_ray.base.resources import Resources, capacity_in_words, in_words, worker_slots
from mimic_ray.base.storage import open_storage
from mimic_ray.base.text import count, plain
from mimic_ray.jobs.cluster_state import ClusterState
from mimic_ray.jobs.job_request import Places


def check_versions(cluster: ClusterState) -> None:
    """Raises ResourceError where Ray or Python there cannot talk to what is here."""
    from importlib.metadata import version

    for kind, ours, theirs in (
        ("Ray", version("ray"), cluster.ray),
        ("Python", platform.python_version(), cluster.python),
    ):
        if theirs and _series(ours) != _series(theirs):
            raise ResourceError(
                f"The cluster runs {kind} {theirs} and this machine {kind} {ours}: both must have "
                f"the same {_series(theirs)}. cluster/Dockerfile builds an image that fits."
            )


def check_places(cluster: ClusterState, places: Places, shared: Sequence[str]) -> list[str]:
    """Notes on what could not be checked from here.

    Raises UsageError for a local path that other machines cannot see, StorageError for an address
    that refuses us.
    """
    notes = []
    for name, place in places.local().items():
        if name == "--trigger" and "/" not in place:
            continue
        if any(Path(place).is_relative_to(folder) for folder in shared):
            continue
        if not cluster.on_this_machine:
            where = count(len(cluster.nodes), "machine")
            raise UsageError(
                f"{name} {plain(place)} is a path of this machine, and the cluster is {where} "
                "elsewhere: use s3:// or gs://, or say with --shared FOLDER that all of them have "
                "that folder at the same path."
            )
        if name != "--out" and "*" not in place and "{" not in place and not Path(place).exists():
            raise UsageError(f"{name} {plain(place)} does not exist.")
    for name, place in places.remote().items():
        note = _remote_note(name, place)
        notes += [note] if note else []
    return notes


def check_cluster_capacity(cluster: ClusterState, resources: Resources) -> list[str]:
    """Notes. Raises ResourceError where the workers do not fit and no node will be added."""
    each = resources.each()
    if not each:
        return []
    nodes = [node.resources for node in cluster.nodes]
    slots, required = worker_slots(nodes, each), resources.required_workers
    if slots < required:
        lack = (
            f"{count(required, 'worker')} of {in_words(each)} each do not fit: the cluster has "
            f"{capacity_in_words(nodes, each)}"
        )
        if not cluster.grows:
            raise ResourceError(
                f"{lack}, and it has no autoscaler. Lower {option('workers')}, "
                f"{option('gpus_per_worker')} or {option('cpus_per_worker')}."
            )
        return [f"{lack}. It must grow first, which takes minutes."]
    if slots < resources.workers:
        return [f"The cluster fits {slots} of up to {count(resources.workers, 'worker')} now."]
    return []


def _remote_note(option: str, place: str) -> str:
    """Asks the storage for the place; what needs credentials that are not here is a note."""
    where, name = place.partition("{")[0].partition("*")[0], "run.json"
    if option == "--teacher":
        path, question, settings = place.partition("?")
        above, _, name = path.rpartition("/")
        where = f"{above}{question}{settings}"
    try:
        found = open_storage(where).find(name)
        if option == "--teacher" and found is None:
            raise StorageError(f"--teacher {place} does not exist.")
    except StorageError as error:
        if "access was denied" in error.message:
            return f"{option} {place} could not be checked from here: no access with what is here."
        raise
    return ""


def _series(version: str) -> str:
    """`2.60.1` -> `2.60`."""
    return ".".join(version.split(".")[:2])
