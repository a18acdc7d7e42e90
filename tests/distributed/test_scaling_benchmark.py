"""The scaling benchmark: in this process with one worker, and on a real Ray."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from mimic_ray.base.errors import ResourceError, TrainingError
from mimic_ray.base.resources import Resources
from mimic_ray.distributed import scaling_benchmark as module
from mimic_ray.distributed.scaling_benchmark import ScalingCase, measure_scaling
from mimic_ray.method.collectives import ProcessGroup
from mimic_ray.store.recipe_file import load_recipe


def case(workers=1, **fields):
    recipe = load_recipe("default", ["training.batch=8", "training.steps=5"])
    return ScalingCase(
        "tiny_resnet", recipe, Resources(workers=workers, cpus_per_worker=1, **fields), warm_up=3
    )


def test_a_worker_measures_the_steps_after_the_warm_up(monkeypatch):
    monkeypatch.setattr(module, "worker_group", ProcessGroup)
    monkeypatch.setattr(module, "worker_device", lambda: "cpu")
    clock = iter([100.0, 110.0, 114.0])  # start, after the warm-up, at the end
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    assert module._worker(case()) == 2 * 8 / 4


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """Measures cases on a cluster of 2 CPUs, where each worker does 10 images per second."""
    opened = []
    monkeypatch.setattr(module, "cluster_nodes", lambda: [{"CPU": 2.0}])
    monkeypatch.setattr(
        module, "ray_session", lambda address, log, cpus: opened.append(cpus) or nullcontext()
    )

    def trainer(_work, one, *_, **__):
        return SimpleNamespace(fit=lambda: SimpleNamespace(return_value=10 * one.resources.workers))

    monkeypatch.setattr(module, "torch_trainer", trainer)
    return lambda *cases: (list(measure_scaling(cases, tmp_path / "log")), opened)


def test_one_ray_of_the_size_of_the_largest_case_measures_all_cases(measured):
    assert measured(case(1), case(2)) == ([10, 20], [2])


def test_a_case_that_does_not_fit_is_refused(measured):
    with pytest.raises(ResourceError, match="3 workers of 1 CPU each do not fit"):
        measured(case(1), case(3))


def test_an_error_names_the_number_of_workers_and_rays_log(measured, monkeypatch):
    def fails():
        raise RuntimeError("out of memory")

    monkeypatch.setattr(module, "torch_trainer", lambda *_, **__: SimpleNamespace(fit=fails))
    with pytest.raises(TrainingError, match=r"on 2 workers: out of memory\. Ray's log is .*log"):
        measured(case(2))


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Ray's own
def test_two_workers_are_measured_on_a_private_ray(tmp_path):
    rates = list(measure_scaling([case(1), case(2)], tmp_path / "log"))
    assert all(rate > 0 for rate in rates)
