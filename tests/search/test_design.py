"""The designed start of a search: points that cover every searched key evenly."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from mimic_ray.method.recipe import Recipe
from mimic_ray.search.design import space_filling
from mimic_ray.search.space import Dimension, Space, default_space

BASE = Recipe().model_dump(mode="json")
RATE = Dimension("training.learning_rate", "loguniform", 1e-4, 1e-2)
STEPS = Dimension("training.steps", "int", 101, 108)
BATCH = Dimension("training.batch", "choice", choices=(32, 64, 128, 256))
DECAY = Dimension("training.weight_decay", "zero_or_uniform", 0.1, 0.5)


def drawn(*dimensions, number=8, seed=0):
    return [*space_filling(Space(dimensions), BASE, number, seed)]


def test_every_eighth_of_a_log_range_has_one_of_eight_points():
    rates = sorted(point["training.learning_rate"] for point in drawn(RATE, STEPS, BATCH))
    bounds = [1e-4 * 100 ** (part / 8) for part in range(9)]
    for rate, (low, high) in zip(rates, pairwise(bounds), strict=True):
        assert low <= rate <= high


def test_integers_and_choices_come_equally_often():
    points = drawn(RATE, STEPS, BATCH)
    assert sorted(point["training.steps"] for point in points) == [*range(101, 109)]
    assert Counter(point["training.batch"] for point in points) == dict.fromkeys(
        (32, 64, 128, 256), 2
    )


def test_zero_has_its_share_of_a_range_with_zero():
    values = [point["training.weight_decay"] for point in drawn(DECAY, number=64)]
    assert sum(value == 0 for value in values) in (12, 13)  # a fifth
    assert all(value == 0 or 0.1 <= value <= 0.5 for value in values)


def test_a_longer_design_begins_with_the_shorter_one_and_a_seed_gives_one_design():
    assert drawn(RATE, BATCH, number=16)[:5] == drawn(RATE, BATCH, number=5)
    assert drawn(RATE, seed=1) != drawn(RATE, seed=2)


@pytest.mark.parametrize("seed", range(3))
def test_keys_without_effect_are_left_out_and_some_loss_term_always_stays(seed):
    space = default_space(Recipe(), [0.0, 0.25])
    for settings in space_filling(space, BASE, 32, seed):
        assert settings["loss.clone.weight"] > 0 or settings["loss.attention.weight"] > 0
        assert ("student.renewed" in settings) == (settings["student.start"] == "partial")
