"""Which cases a scaling benchmark measures. The measurement itself needs Ray."""

import pytest

from mimic_ray.base.errors import ResourceError, UsageError
from mimic_ray.distributed import scaling_benchmark
from mimic_ray.execution.resources import Workers
from mimic_ray.workflows.bench_scaling import WARM_UP, bench_scaling, parse_counts


@pytest.fixture
def perfect(monkeypatch):
    """A machine with many cores on which each worker always does 10 images per second."""
    seen = []

    def measure(_encoder, cases, **_):
        for workers, recipe in cases:
            seen.append((workers, recipe))
            yield 10.0 * workers.count

    monkeypatch.setattr(scaling_benchmark, "measure_scaling", measure)
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    return seen


@pytest.mark.usefixtures("perfect")
def test_perfect_scaling_has_an_efficiency_of_1():
    points = bench_scaling("tiny_resnet", [2, 4, 8], Workers(cpus_each=1))
    assert [p.efficiency for p in points] == [1.0] * 5
    assert [p.images_per_s for p in points] == [20, 40, 80, 40, 80]


def test_strong_scaling_keeps_the_batch_and_weak_scaling_keeps_the_share_per_worker(perfect):
    points = bench_scaling("tiny_resnet", [2, 4], Workers(cpus_each=1), steps=7)
    assert [(p.scaling, p.workers, p.batch) for p in points] == [
        ("strong", 2, 64),
        ("strong", 4, 64),
        ("weak", 4, 128),
    ]
    for (workers, recipe), point in zip(perfect, points, strict=True):
        assert workers.count == point.workers
        assert recipe["training"]["batch"] == point.batch
        assert recipe["training"]["steps"] == WARM_UP + 7


def test_fsdp_is_accepted_when_one_of_the_counts_is_1(perfect):
    bench_scaling("tiny_resnet", [1, 2], Workers(cpus_each=1, strategy="fsdp"))
    assert [workers.strategy for workers, _ in perfect] == ["ddp", "fsdp", "fsdp"]


def test_more_workers_than_cores_are_refused_before_any_measurement(perfect, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    with pytest.raises(ResourceError, match="lower --workers"):
        bench_scaling("tiny_resnet", [1, 4], Workers(cpus_each=1))
    assert not perfect


def test_counts_are_sorted_without_duplicates():
    assert parse_counts("4, 1,2,1") == [1, 2, 4]


@pytest.mark.parametrize("text", ["", "1,,2", "0", "1-2", "two"])
def test_anything_but_a_list_of_counts_is_refused(text):
    with pytest.raises(UsageError, match=r"1,2,4"):
        parse_counts(text)


@pytest.mark.slow
def test_two_workers_are_measured_on_a_local_ray():
    points = bench_scaling(
        "tiny_resnet", [1, 2], Workers(cpus_each=1), settings=["training.batch=8"], steps=5
    )
    assert [p.batch for p in points] == [8, 8, 16]
    assert all(p.images_per_s > 0 for p in points)
