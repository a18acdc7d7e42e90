"""Where a purification on one machine computes, and the notes and refusals before its work."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mimic_ray.base.errors import DiskFullError, UsageError
from mimic_ray.base.resources import Resources
from mimic_ray.method.recipe import Recipe
from mimic_ray.workflows import purify_request
from mimic_ray.workflows.purify_request import (
    PurifyRequest,
    check_disk,
    check_workers,
    on_this_machine,
    resolved_recipe,
)


def request(**arguments) -> PurifyRequest:
    return PurifyRequest(
        "tiny_resnet", "suspect.pth", "images", "run", recipe="default", **arguments
    )


@pytest.mark.parametrize(
    ("gpus", "workers", "asked", "device", "expected"),
    [
        (0, 1, None, "auto", (0, "cpu")),
        (1, 1, None, "auto", (1, "auto")),
        (1, 1, 0, "auto", (0, "cpu")),  # as asked for
        (1, 1, None, "cpu", (0, "cpu")),
        (1, 1, None, "cuda:0", (1, "cuda:0")),
        (4, 4, None, "auto", (1, "auto")),
        (4, 4, None, "cpu", (0, "cpu")),
        (1, 2, None, "auto", (0, "cpu")),  # one GPU for two workers
    ],
)
def test_the_gpus_of_this_machine_are_used_unless_the_user_says_otherwise(
    monkeypatch, gpus, workers, asked, device, expected
):
    monkeypatch.setattr(purify_request, "this_machine", lambda: {"CPU": 8.0, "GPU": float(gpus)})
    resources = Resources(workers=workers, gpus_per_worker=asked)
    found, chosen = on_this_machine(resources, device)
    assert (found.gpus_per_worker, chosen) == expected
    assert found.cpus_per_worker == 8 // workers


def test_the_seed_of_the_request_is_that_of_the_training():
    recipe = resolved_recipe(request(settings=["training.steps=200"], seed=3))
    assert (recipe.training.steps, recipe.training.seed) == (200, 3)


def test_settings_that_cannot_work_are_refused():
    with pytest.raises(UsageError, match="seed=-1 must be"):
        resolved_recipe(request(seed=-1))
    recipe = Recipe()
    narrow = recipe.model_copy(
        update={"training": recipe.training.model_copy(update={"batch": 2, "accumulate": 2})}
    )
    check_workers(narrow, Resources())
    with pytest.raises(UsageError, match="workers=2"):
        check_workers(narrow, Resources(workers=2, min_workers=1))


def test_a_full_disk_is_found_before_the_work(monkeypatch, tmp_path):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1 << 20))
    net = SimpleNamespace(state_dict=lambda: {"w": torch.zeros(10)})
    loaded = SimpleNamespace(encoder=SimpleNamespace(net=net))
    with pytest.raises(DiskFullError, match=f"{tmp_path} has 1 MiB free and the run needs"):
        check_disk(Path(tmp_path, "a", "b"), loaded)
