"""Workers and trials that fit on nodes, and contradictory settings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mimic_ray.base.errors import ResourceError, UsageError
from mimic_ray.base.resources import (
    Resources,
    check_capacity,
    check_resources,
    trial_slots,
    worker_slots,
)

HEAD, GPUS = {"CPU": 4.0}, {"CPU": 32.0, "GPU": 4.0}


def test_only_elastic_runs_and_runs_on_a_cluster_restart_by_default():
    assert Resources(workers=4).restarts == 0
    assert Resources(workers=4, min_workers=4).restarts == 0
    assert Resources(workers=4, min_workers=2).restarts > 0
    assert Resources(workers=4, address="10.0.0.1:6379").restarts > 0
    assert Resources(workers=4, min_workers=2, max_failures=0).restarts == 0
    assert Resources(workers=4, max_failures=5).restarts == 5


def test_no_worker_spans_two_nodes():
    assert worker_slots([{"CPU": 3}, {"CPU": 3}], {"CPU": 2}) == 2
    assert worker_slots([HEAD, GPUS], {"CPU": 1, "GPU": 1}) == 4


def test_no_worker_spans_two_gpus():
    node = {"CPU": 16, "GPU": 4}
    found = [worker_slots([node], {"CPU": 1, "GPU": share}) for share in (0.6, 0.5, 0.1, 0.25)]
    assert found == [4, 8, 16, 16]


@pytest.mark.parametrize(
    ("nodes", "workers", "gpus", "expected"),
    [
        ([HEAD], 1, 0, 4),
        ([HEAD], 3, 0, 1),
        ([HEAD, GPUS], 4, 1, 8),
        ([HEAD, GPUS, GPUS], 8, 1, 8),
        ([{"CPU": 1}, {"CPU": 1}], 1, 0, 1),
        ([HEAD], 4, 1, 1),  # none fits: the run waits for nodes or is refused
        ([], 1, 0, 1),
    ],
)
def test_the_cpus_of_the_nodes_are_divided_evenly(nodes, workers, gpus, expected):
    resources = Resources(workers=workers, gpus_per_worker=gpus)
    assert resources.with_cpus(nodes).cpus_per_worker == expected


def test_an_explicit_number_of_cpus_is_kept():
    assert Resources(cpus_per_worker=3).with_cpus([GPUS]).cpus_per_worker == 3


def test_workers_that_do_not_fit_are_refused_unless_nodes_may_be_added():
    wide = Resources(cpus_per_worker=2, address="auto")
    with pytest.raises(ResourceError, match=r"1 worker of 2 CPU each do not fit: .*2 CPU on 2 n"):
        check_capacity([{"CPU": 1}, {"CPU": 1}], wide)
    check_capacity(
        [{"CPU": 1}], Resources(cpus_per_worker=2, address="auto", capacity_timeout_s=60)
    )


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        (Resources(workers=0), "workers=0 must be at least 1"),
        (Resources(workers=2, min_workers=3), "min_workers=3 must be between 1 and workers=2"),
        (Resources(workers=2, min_workers=0), "min_workers=0 must be between 1 and workers=2"),
        (Resources(workers=2, local=True), "local=True runs in one process"),
        (Resources(local=True, ray=True), "local=True and ray=True contradict"),
        (Resources(strategy="fsdp"), "needs several workers: set workers=2 or more"),
        (Resources(strategy="fsdp", local=True), "and remove local=True"),
        (Resources(strategy="dpd"), 'Invalid strategy="dpd": expected ddp or fsdp'),
        (Resources(teacher_placement="sharded"), "sharded needs strategy=fsdp"),
        (Resources(teacher_placement="here"), "expected replicated or sharded"),
    ],
)
def test_contradictory_settings_are_refused(resources, words):
    with pytest.raises(UsageError, match=words):
        check_resources(resources)


def test_more_cpus_than_this_machine_has_are_refused(monkeypatch):
    monkeypatch.setattr("mimic_ray.base.resources.usable_cpus", lambda: 4)
    check_resources(Resources(workers=2, cpus_per_worker=2))
    with pytest.raises(ResourceError, match=r"3 workers of 2 CPUs need 6 CPUs, .* has 4"):
        check_resources(Resources(workers=3, cpus_per_worker=2))
    check_resources(Resources(workers=3, min_workers=2, cpus_per_worker=2))
    check_resources(Resources(workers=3, cpus_per_worker=2, address="auto"))


def test_more_gpus_than_this_machine_has_are_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    check_resources(Resources(gpus_per_worker=1))
    with pytest.raises(ResourceError, match=r"1 worker of 2 GPU need 2 GPU, .* has 1"):
        check_resources(Resources(gpus_per_worker=2))


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        (Resources(), True),
        (Resources(gpus_per_worker=1, cpus_per_worker=4), True),
        (Resources(local=True), True),
        (Resources(ray=True), False),
        (Resources(workers=2), False),
        (Resources(workers=2, min_workers=1), False),
        (Resources(max_failures=1), False),  # only Ray restarts a worker
        (Resources(max_failures=0), True),
        (Resources(address="auto"), False),
    ],
)
def test_only_a_run_of_one_worker_on_this_machine_needs_no_ray(resources, expected):
    assert resources.in_process == expected


def test_each_worker_has_a_gpu_if_the_machine_has_as_many():
    assert Resources(workers=2).with_gpus(GPUS).gpus_per_worker == 1
    assert Resources(workers=8).with_gpus(GPUS).gpus_per_worker == 0
    assert Resources(workers=2).with_gpus(HEAD).gpus_per_worker == 0
    assert Resources(workers=2, gpus_per_worker=2).with_gpus(GPUS).gpus_per_worker == 2


@pytest.mark.parametrize(
    ("nodes", "resources", "expected"),
    [
        ([{"CPU": 2}], Resources(), 2),
        ([{"CPU": 5}], Resources(workers=2), 2),
        ([{"CPU": 64, "GPU": 4}], Resources(), 4),  # a GPU for each trial
        ([{"CPU": 64, "GPU": 4}], Resources(gpus_per_worker=0), 64),
        ([{"CPU": 64, "GPU": 4}], Resources(gpus_per_worker=0.25), 16),
        ([{"CPU": 3, "GPU": 4}], Resources(gpus_per_worker=1), 3),
        ([{"CPU": 64}], Resources(concurrent_trials=5), 5),
        # Three CPUs per worker: one worker on each node, although there are more than six CPUs.
        ([{"CPU": 5}, {"CPU": 4}], Resources(cpus_per_worker=3), 2),
        # The others start when nodes are added.
        ([{"CPU": 1}], Resources(concurrent_trials=5, capacity_timeout_s=60), 1),
        ([{"CPU": 8, "memory": 10e9}], Resources(memory_per_worker=4 * 10**9), 2),
    ],
)
def test_as_many_trials_run_at_the_same_time_as_fit(nodes, resources, expected):
    assert trial_slots(nodes, resources.for_trials(nodes)) == expected


@pytest.mark.parametrize(
    ("nodes", "workers", "expected"),
    [
        ([{"CPU": 8, "memory": 10e9}], 1, 3e9),
        # A node that has less gets one trial.
        ([{"CPU": 8, "memory": 2e9}], 1, 2e9),
        ([{"CPU": 0, "memory": 9e9}, {"CPU": 8, "memory": 2e9}], 1, 2e9),
        ([{"CPU": 8, "memory": 2e9}], 2, 1e9),
        ([{"CPU": 1, "memory": 2e9}, {"CPU": 1, "memory": 2e9}], 2, 2e9),
        ([{"CPU": 8}], 1, None),  # unknown
        ([{"CPU": 8, "GPU": 1, "memory": 10e9}], 1, None),  # most of it is the GPU's
    ],
)
def test_the_estimated_memory_is_reserved_as_far_as_a_trial_fits(nodes, workers, expected):
    found = Resources(workers=workers).for_trials(nodes, 3 * 10**9)
    assert found.each().get("memory") == expected


def test_as_many_trials_may_be_requested_as_the_declared_cluster_fits():
    eight = Resources(address="auto", gpus_per_worker=1, concurrent_trials=8)
    first, largest = [{"CPU": 64, "GPU": 4}], [{"CPU": 64, "GPU": 4}] * 2
    assert trial_slots(first, eight.for_trials(first), largest) == 4
    nine = replace(eight, concurrent_trials=9)
    with pytest.raises(ResourceError, match=r"grows to 128 CPU.*8 GPU on 2 nodes.*trials=8"):
        trial_slots(first, nine.for_trials(first), largest)


@pytest.mark.parametrize(
    ("nodes", "resources", "words"),
    [
        (
            [{"CPU": 2}],
            Resources(gpus_per_worker=1),
            "1 worker of 1 CPU [+] 1 GPU, .*has 2 CPU [+] 0 GPU on",
        ),
        ([{"CPU": 2}], Resources(workers=3), "3 workers of 1 CPU.*which fits 2 workers"),
        (
            [{"CPU": 2}, {"CPU": 2}],
            Resources(cpus_per_worker=4, address="auto"),
            "1 worker of 4 CPU, .*has 4 CPU on 2 nodes, which fit 0 workers.*capacity_timeout_s=",
        ),
        (
            [{"CPU": 4}],
            Resources(workers=2, concurrent_trials=3),
            "a trial is 2 workers of 1 CPU, so it needs 6 workers, .*has 4 CPU .*"
            "at most concurrent_trials=2",
        ),
    ],
)
def test_trials_that_do_not_fit_are_refused_with_the_numbers(nodes, resources, words):
    with pytest.raises(ResourceError, match=words):
        trial_slots(nodes, resources.for_trials(nodes))
