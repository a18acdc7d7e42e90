"""Checks, before a job is sent, that it can succeed on the cluster."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mimic_ray.base.errors import (
    MissingObjectError,
    ResourceError,
    StorageError,
    UsageError,
    option,
)
from mimic_ray.base.locations import is_missing, local_path
from mimic_ray.base.resources import Resources, capacity_in_words, in_words, worker_slots
from mimic_ray.base.storage import open_storage
from mimic_ray.base.storage_address import parse
from mimic_ray.base.text import count, plain
from mimic_ray.jobs.cluster_state import ClusterState
from mimic_ray.jobs.job_request import JobLocation


def check_versions(cluster: ClusterState) -> None:
    """Raises ResourceError if Ray or Python on the cluster is incompatible with this machine."""
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


def sees_paths(cluster: ClusterState, shared: Sequence[str]) -> bool:
    """Whether this machine has the files that the cluster sees at local paths."""
    if shared:
        return all(Path(folder).is_dir() for folder in shared)
    return cluster.on_this_machine


def check_locations(
    cluster: ClusterState, locations: Sequence[JobLocation], shared: Sequence[str]
) -> list[str]:
    """Notes about locations that could not be checked from this machine.

    Raises UsageError for a local path that other machines cannot see or that does not exist,
    MissingObjectError for an address that does not exist, StorageError if it cannot be reached.
    """
    notes = []
    for entry in locations:
        path = local_path(entry.location)
        if not path:
            notes += _check_address(entry)
        elif any(Path(path).is_relative_to(folder) for folder in shared):
            continue
        elif not cluster.on_this_machine:
            where = count(len(cluster.nodes), "other machine")
            raise UsageError(
                f"{entry.option} {plain(path)} is a path on this machine, and the cluster runs on "
                f"{where}: use s3:// or gs://, or {option('shared', 'FOLDER')} if all machines "
                "have that folder at the same path."
            )
        elif not entry.is_output and is_missing(path):
            raise UsageError(f"{entry.option} {plain(path)} does not exist.")
    return notes


def check_cluster_capacity(cluster: ClusterState, resources: Resources) -> list[str]:
    """Notes. Raises ResourceError if the workers do not fit and no node will be added."""
    each = resources.each()
    if not each:
        return []
    nodes = [node.resources for node in cluster.nodes]
    slots, required = worker_slots(nodes, each), resources.required_workers
    if slots < required:
        shortage = (
            f"{count(required, 'worker')} of {in_words(each)} each do not fit: the cluster has "
            f"{capacity_in_words(nodes, each)}"
        )
        if not cluster.grows:
            raise ResourceError(
                f"{shortage}, and it has no autoscaler. Lower {option('workers')}, "
                f"{option('gpus_per_worker')} or {option('cpus_per_worker')}."
            )
        return [f"{shortage}. It must grow first, which takes minutes."]
    if slots < resources.workers:
        return [f"The cluster fits {slots} of up to {count(resources.workers, 'worker')} now."]
    return []


def _check_address(entry: JobLocation) -> list[str]:
    """A note if this machine does not have credentials for the storage. Raises StorageError."""
    address = parse(entry.location)
    # The fixed part of a pattern. Any name shows whether the bucket can be read.
    where, name = re.split(r"[*?\[{]", address.path)[0].rstrip("/"), "run.json"
    if entry.is_file:
        where, _, name = address.path.rpartition("/")
    try:
        found = open_storage(replace(address, path=where)).find(name)
        if entry.is_file and found is None:
            raise MissingObjectError(f"{entry.option} {address.shown} does not exist.")
    except StorageError as error:
        if "access was denied" not in error.message:
            raise
        return [f"{entry.option} {address.shown} was not checked: this machine has no access."]
    return []


def _series(version: str) -> str:
    """`2.60.1` -> `2.60`."""
    return ".".join(version.split(".")[:2])
