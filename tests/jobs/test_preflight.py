"""Checks before a job is sent: versions, locations and resources."""

from __future__ import annotations

import platform
from importlib.metadata import version

import pytest

from mimic_ray.base.errors import MissingObjectError, ResourceError, StorageError, UsageError
from mimic_ray.base.resources import Resources
from mimic_ray.jobs import preflight
from mimic_ray.jobs.cluster_state import ClusterState, Node
from mimic_ray.jobs.job_request import JobLocation
from mimic_ray.jobs.preflight import (
    check_cluster_capacity,
    check_locations,
    check_versions,
    sees_paths,
)

HERE, ELSEWHERE = "127.0.0.1", "192.0.2.77"  # reserved for documentation


def cluster(*sizes, ip=ELSEWHERE, grows=False, ray="", python=""):
    """A node for each (CPUs, GPUs)."""
    nodes = [Node(ip, False, {"CPU": cpus, "GPU": gpus}) for cpus, gpus in sizes]
    return ClusterState(ray, python, nodes, grows)


def test_workers_that_fit_give_no_note():
    assert (
        check_cluster_capacity(
            cluster((4, 2), (4, 2)), Resources(workers=4, cpus_per_worker=2, gpus_per_worker=1)
        )
        == []
    )


def test_a_worker_does_not_span_two_nodes():
    """Two nodes of 3 CPUs have 6 CPUs in total, but fit only two workers of 2 CPUs."""
    with pytest.raises(ResourceError) as refused:
        check_cluster_capacity(cluster((3, 0), (3, 0)), Resources(workers=3, cpus_per_worker=2))
    for part in ("3 workers of 2 CPU", "6 CPU on 2 nodes", "fit 2 workers", "no autoscaler"):
        assert part in refused.value.message


def test_the_scarcer_of_two_resources_decides():
    with pytest.raises(ResourceError, match="fits 1 worker"):
        check_cluster_capacity(
            cluster((64, 1)), Resources(workers=2, cpus_per_worker=1, gpus_per_worker=1)
        )


def test_an_autoscaling_cluster_gives_a_note_instead_of_an_error():
    notes = check_cluster_capacity(
        cluster((4, 0), grows=True), Resources(workers=2, gpus_per_worker=1)
    )
    assert "must grow" in notes[0]


def test_a_range_needs_capacity_for_its_minimum_only():
    assert (
        "fits 2 of up to 4"
        in check_cluster_capacity(
            cluster((2, 0)), Resources(workers=4, min_workers=1, cpus_per_worker=1)
        )[0]
    )


def test_workers_without_sizes_are_not_checked():
    assert check_cluster_capacity(cluster((1, 0)), Resources(workers=9)) == []


def test_patch_versions_may_differ():
    ray, python = version("ray"), platform.python_version()
    check_versions(cluster(ray=f"{ray.rpartition('.')[0]}.99", python=python))


@pytest.mark.parametrize(("kind", "theirs"), [("ray", "2.9.3"), ("python", "3.9.1")])
def test_different_versions_are_refused_with_both(kind, theirs):
    ours = {"ray": version("ray"), "python": platform.python_version()}[kind]
    with pytest.raises(ResourceError) as refused:
        check_versions(cluster(**{kind: theirs}))
    assert theirs in refused.value.message
    assert ours in refused.value.message


def test_a_local_path_is_refused_for_a_remote_cluster(tmp_path):
    locations = [JobLocation("--data", str(tmp_path))]
    with pytest.raises(UsageError, match=r"--data .* is a path on this machine"):
        check_locations(cluster((2, 0)), locations, [])


def test_a_local_path_is_refused_with_more_than_one_node(tmp_path):
    locations = [JobLocation("--out", str(tmp_path), is_output=True)]
    with pytest.raises(UsageError, match="2 other machines"):
        check_locations(cluster((2, 0), (2, 0), ip=HERE), locations, [])


def test_a_local_path_is_accepted_on_this_machine(tmp_path):
    locations = [
        JobLocation("--data", str(tmp_path)),
        JobLocation("--data", f"{tmp_path}/train-[0-3]?.tar"),
        JobLocation("--out", str(tmp_path / "new"), is_output=True),
    ]
    assert check_locations(cluster((2, 0), ip=HERE), locations, []) == []


def test_a_missing_local_input_is_refused(tmp_path):
    locations = [JobLocation("--teacher", str(tmp_path / "t.pth"))]
    with pytest.raises(UsageError, match=r"t\.pth does not exist"):
        check_locations(cluster((2, 0), ip=HERE), locations, [])


def test_paths_in_a_shared_folder_are_accepted():
    locations = [
        JobLocation("--data", "torchvision:CIFAR10:/mnt/nfs/images"),
        JobLocation("--out", "/mnt/nfs/runs/a", is_output=True),
    ]
    assert check_locations(cluster((2, 0), (2, 0)), locations, ["/mnt/nfs"]) == []


def test_paths_are_seen_on_this_machine_or_in_shared_folders_that_it_has(tmp_path):
    assert sees_paths(cluster((2, 0), ip=HERE), [])
    assert not sees_paths(cluster((2, 0)), [])
    assert sees_paths(cluster((2, 0)), [str(tmp_path)])
    assert not sees_paths(cluster((2, 0), ip=HERE), [str(tmp_path), str(tmp_path / "other")])


def test_a_folder_that_only_shares_a_prefix_with_a_shared_one_is_refused():
    locations = [JobLocation("--out", "/mnt/nfs2/runs", is_output=True)]
    with pytest.raises(UsageError, match="shared="):
        check_locations(cluster((2, 0), (2, 0)), locations, ["/mnt/nfs"])


@pytest.mark.parametrize(
    ("entry", "requested"),
    [
        (JobLocation("--teacher", "s3://b/x/t.pth?region=eu", is_file=True), ("b/x", "t.pth")),
        (JobLocation("--data", "s3://b/x/{00..07}.tar"), ("b/x", "run.json")),
        (JobLocation("--data", "gs://b/x/train-[0-3]?.tar"), ("b/x/train-", "run.json")),
        (JobLocation("--out", "s3://b/runs/a", is_output=True), ("b/runs/a", "run.json")),
    ],
)
def test_addresses_are_checked_and_files_must_exist(monkeypatch, entry, requested):
    seen = []

    class Empty:
        def __init__(self, address):
            self.address = address

        def find(self, name):
            seen.append((self.address.path, name))

    monkeypatch.setattr(preflight, "open_storage", Empty)
    if entry.is_file:
        with pytest.raises(MissingObjectError, match=r"--teacher s3://b/x/t\.pth does not exist"):
            check_locations(cluster((2, 0)), [entry], [])
    else:
        assert check_locations(cluster((2, 0)), [entry], []) == []
    assert seen == [requested]


def test_an_address_without_access_from_here_is_noted(monkeypatch):
    def refuse(address):
        raise StorageError(f"{address.shown}: access was denied.")

    monkeypatch.setattr(preflight, "open_storage", refuse)
    notes = check_locations(cluster((2, 0)), [JobLocation("--data", "s3://b/d?region=x")], [])
    assert notes == ["--data s3://b/d was not checked: this machine has no access."]
