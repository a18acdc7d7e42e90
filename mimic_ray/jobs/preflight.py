"""Whether a job can succeed on a cluster, found out before it is sent."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path

from mimic_ray.base.errors import ResourceError, StorageError, UsageError
from mimic_ray.base.storage import open_storage
from mimic_ray.base.text import count, plain
from mimic_ray.distributed.capacity import in_words
from mimic_ray.jobs.cluster_state import ClusterState
from mimic_ray.jobs.job_request import Places, Scale


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
    for option, place in places.local().items():
        if option == "--trigger" and "/" not in place:
            continue
        if any(Path(place).is_relative_to(folder) for folder in shared):
            continue
        if not cluster.on_this_machine:
            where = count(len(cluster.nodes), "machine")
            raise UsageError(
                f"{option} {plain(place)} is a path of this machine, and the cluster is {where} "
                "elsewhere: use s3:// or gs://, or say with --shared FOLDER that all of them have "
                "that folder at the same path."
            )
        if option != "--out" and "*" not in place and "{" not in place and not Path(place).exists():
            raise UsageError(f"{option} {plain(place)} does not exist.")
    for option, place in places.remote().items():
        note = _remote_note(option, place)
        notes += [note] if note else []
    return notes


def check_resources(cluster: ClusterState, scale: Scale) -> list[str]:
    """Notes. Raises ResourceError where the workers cannot be placed and no node will come."""
    if scale.fewest == 0 or not scale.each:
        return []
    wanted = f"{count(scale.fewest, 'worker')} of {in_words(scale.each)}"
    placed = cluster.places(scale.each)
    if placed < scale.fewest:
        have = ", ".join(f"{cluster.total(kind):g} {kind}" for kind in scale.each)
        fits = f"the cluster has {have} on {count(len(cluster.nodes), 'node')}, room for {placed}"
        if not cluster.grows:
            raise ResourceError(
                f"{wanted} each: {fits}, and it has no autoscaler. Ask for less with --workers, "
                "--gpus-per-worker or --cpus-per-worker."
            )
        return [f"{wanted} each: {fits}. It must grow first, which takes minutes."]
    if placed < scale.most:
        return [f"There is room for {placed} of up to {count(scale.most, 'worker')} now."]
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
