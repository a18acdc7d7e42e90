import pytest

from mimic_ray.base.errors import ResourceError
from mimic_ray.distributed.trial_resources import Resources, concurrency


@pytest.mark.parametrize(
    ("have", "resources", "expected"),
    [
        ({"CPU": 2}, Resources(gpus_per_worker=0), 2),
        ({"CPU": 5}, Resources(workers=2, gpus_per_worker=0), 2),
        ({"CPU": 64, "GPU": 4}, Resources(gpus_per_worker=1), 4),
        ({"CPU": 64, "GPU": 4}, Resources(gpus_per_worker=0.25), 16),
        ({"CPU": 3, "GPU": 4}, Resources(gpus_per_worker=1), 3),
        ({"CPU": 64}, Resources(gpus_per_worker=0, concurrent=5), 5),
    ],
)
def test_as_many_trials_run_at_once_as_fit(have, resources, expected):
    assert concurrency(have, resources) == expected


@pytest.mark.parametrize(
    ("have", "resources", "words"),
    [
        ({"CPU": 2}, Resources(gpus_per_worker=1), r"1 worker x 1 GPU = 1 GPUs a trial.*has 0"),
        ({"CPU": 2}, Resources(workers=3, gpus_per_worker=0), r"3 workers x 1 CPU = 3 CPUs.*has 2"),
        (
            {"CPU": 4},
            Resources(workers=2, gpus_per_worker=0, concurrent=3),
            r"2 CPUs a trial, times 3 is 6, and the cluster has 4: at most --concurrent 2",
        ),
    ],
)
def test_what_a_cluster_cannot_place_is_refused_with_the_arithmetic(have, resources, words):
    with pytest.raises(ResourceError, match=words):
        concurrency(have, resources)
