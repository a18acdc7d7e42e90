import pytest

from mimic_ray.base.errors import ResourceError
from mimic_ray.distributed.trial_resources import Resources, concurrency


@pytest.mark.parametrize(
    ("nodes", "resources", "expected"),
    [
        ([{"CPU": 2}], Resources(gpus_per_worker=0), 2),
        ([{"CPU": 5}], Resources(workers=2, gpus_per_worker=0), 2),
        ([{"CPU": 64, "GPU": 4}], Resources(gpus_per_worker=1), 4),
        ([{"CPU": 64, "GPU": 4}], Resources(gpus_per_worker=0.25), 16),
        ([{"CPU": 3, "GPU": 4}], Resources(gpus_per_worker=1), 3),
        ([{"CPU": 64}], Resources(gpus_per_worker=0, concurrent=5), 5),
        # Three CPUs a worker: one on each node, though there are six CPUs and more.
        ([{"CPU": 5}, {"CPU": 4}], Resources(cpus_per_worker=3, gpus_per_worker=0), 2),
        # Those without room wait for the nodes that come.
        ([{"CPU": 1}], Resources(gpus_per_worker=0, concurrent=5, room_s=60), 5),
    ],
)
def test_as_many_trials_run_at_once_as_fit(nodes, resources, expected):
    assert concurrency(nodes, resources) == expected


@pytest.mark.parametrize(
    ("nodes", "resources", "words"),
    [
        (
            [{"CPU": 2}],
            Resources(gpus_per_worker=1),
            "1 worker of 1 CPU [+] 1 GPU, .*has 2 CPU [+] 0 GPU on",
        ),
        ([{"CPU": 2}], Resources(workers=3, gpus_per_worker=0), "3 workers of 1 CPU.*for 2 work"),
        (
            [{"CPU": 2}, {"CPU": 2}],
            Resources(cpus_per_worker=4, gpus_per_worker=0, address="auto"),
            "1 worker of 4 CPU, .*has 4 CPU on 2 nodes, room for 0 workers: .*--wait-for-room",
        ),
        (
            [{"CPU": 4}],
            Resources(workers=2, gpus_per_worker=0, concurrent=3),
            "a trial is 2 workers of 1 CPU, so it takes 6, .*has 4 CPU .*at most --concurrent 2",
        ),
    ],
)
def test_what_a_cluster_cannot_place_is_refused_with_the_arithmetic(nodes, resources, words):
    with pytest.raises(ResourceError, match=words):
        concurrency(nodes, resources)
