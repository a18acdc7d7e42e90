"""The timed probe before a run: what it returns, and that it leaves the process as it was."""

from __future__ import annotations

import pytest
import torch

from mimic_ray.base.devices import Compute
from mimic_ray.encoders.encoder_registry import build
from mimic_ray.execution.step_probe import _for_batch, forward_s, probe
from mimic_ray.method.recipe import Recipe

CPU = Compute("cpu", "fp32", 1)
RECIPE = Recipe(training={"batch": 8, "steps": 3})


def test_a_pace_has_the_time_and_the_memory_of_one_image():
    pace = probe("tiny_resnet", RECIPE, CPU)
    assert pace.spec == build("tiny_resnet").spec
    assert pace.forward_s > 0 < pace.step_s
    assert pace.forward_fp32_s == pace.forward_s
    weights = [*build("tiny_resnet").parameters(), *build("tiny_resnet").buffers()]
    # Weights of two networks, gradients and two moments.
    assert pace.state_bytes == 5 * sum(each.nbytes for each in weights)


def test_activations_are_those_of_one_image_whatever_the_batch():
    eight = probe("tiny_resnet", RECIPE, CPU).activation_bytes
    sixteen = probe("tiny_resnet", Recipe(training={"batch": 16}), CPU).activation_bytes
    assert eight == pytest.approx(sixteen, rel=0.05)
    # At least the output of the first convolution at half the side of 32 pixels.
    assert eight > 4 * 16 * 16 * 16


def test_checkpointed_activations_are_not_counted():
    whole = probe("tiny_vit", RECIPE, CPU).activation_bytes
    less = {"batch": 8, "checkpoint_activations": True}
    assert probe("tiny_vit", Recipe(training=less), CPU).activation_bytes < 0.8 * whole


@pytest.mark.parametrize(
    ("timed", "expected"),
    [
        ([(2, 0.3), (8, 0.6)], 0.6 + 56 * 0.05),  # 0.2 s, and 0.05 s an image
        ([(8, 0.1), (64, 0.5)], 0.5),  # measured
        ([(2, 3.0)], 96.0),  # a slow step is timed once
        ([(2, 0.4), (8, 0.3)], 0.3),  # other work interrupted the first
    ],
)
def test_the_time_of_a_step_follows_from_smaller_batches(timed, expected):
    assert _for_batch(timed, 64) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["default", "mimic", "official"])
def test_random_numbers_of_the_process_are_not_used(name):
    from mimic_ray.store.recipe_file import load_recipe

    recipe = load_recipe(name, ["training.batch=8", "training.compile=true"])
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    probe("tiny_resnet", recipe, CPU)
    forward_s("tiny_resnet", CPU)
    assert torch.equal(torch.rand(4), expected)
