"""The cases of a scaling benchmark. The measurement itself needs Ray."""

import pytest

from mimic_ray.base.errors import ResourceError
from mimic_ray.base.resources import Resources
from mimic_ray.distributed import scaling_benchmark
from mimic_ray.workflows.bench_scaling import WARM_UP, bench_scaling


@pytest.fixture
def perfect(monkeypatch):
    """A machine with many cores on which each worker always does 10 images per second."""
    seen = []

    def measure(cases, _log):
        for case in cases:
            seen.append(case)
            yield 10.0 * case.resources.workers

    monkeypatch.setattr(scaling_benchmark, "measure_scaling", measure)
    monkeypatch.setattr("mimic_ray.base.resources.usable_cpus", lambda: 64)
    return seen


@pytest.mark.usefixtures("perfect")
def test_perfect_scaling_has_an_efficiency_of_1():
    points = bench_scaling("tiny_resnet", [2, 4, 8], Resources(cpus_per_worker=1))
    assert [p.efficiency for p in points] == [1.0] * 5
    assert [p.images_per_s for p in points] == [20, 40, 80, 40, 80]


def test_strong_scaling_keeps_the_batch_and_weak_scaling_keeps_the_share_per_worker(perfect):
    points = bench_scaling("tiny_resnet", [2, 4], Resources(cpus_per_worker=1), steps=7)
    assert [(p.scaling, p.workers, p.batch) for p in points] == [
        ("strong", 2, 64),
        ("strong", 4, 64),
        ("weak", 4, 128),
    ]
    for case, point in zip(perfect, points, strict=True):
        assert case.resources.workers == point.workers
        assert case.recipe.training.batch == point.batch
        assert case.recipe.training.steps == WARM_UP + 7


def test_fsdp_is_accepted_when_one_of_the_counts_is_1(perfect):
    bench_scaling("tiny_resnet", [1, 2], Resources(cpus_per_worker=1, strategy="fsdp"))
    assert [case.resources.strategy for case in perfect] == ["ddp", "fsdp", "fsdp"]


def test_more_workers_than_cores_are_refused_before_any_measurement(perfect, monkeypatch):
    monkeypatch.setattr("mimic_ray.base.resources.usable_cpus", lambda: 2)
    with pytest.raises(ResourceError, match="lower workers="):
        bench_scaling("tiny_resnet", [1, 4], Resources(cpus_per_worker=1))
    assert not perfect
