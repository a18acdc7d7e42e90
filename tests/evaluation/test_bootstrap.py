"""Intervals over seeds and images, against closed forms."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from mimic_ray.evaluation.bootstrap import bootstrap, over_seeds_and_images
from mimic_ray.evaluation.intervals import wilson

DRAW = np.random.default_rng(0)


def test_equal_seeds_give_the_interval_of_the_images_alone():
    images = (np.arange(2000) < 600).astype(np.uint8)
    outcomes = np.tile(images, (3, 3, 1))
    low, high = bootstrap(outcomes, 4000)
    reach = 1.96 * sqrt(0.3 * 0.7 / 2000)  # the normal approximation
    assert low == pytest.approx(0.3 - reach, abs=0.002)
    assert high == pytest.approx(0.3 + reach, abs=0.002)


def test_seeds_that_differ_on_all_images_give_the_quantiles_of_a_binomial():
    """Of 4 seeds, 2 succeed everywhere: the mean of 4 draws is binomial(4, 1/2) / 4."""
    outcomes = np.zeros((4, 1, 50), np.uint8)
    outcomes[2:] = 1
    # P(0 of 4) = 1/16 > 2.5 %, so both ends are in the range.
    assert bootstrap(outcomes, 4000) == (0.0, 1.0)
    outcomes = np.zeros((16, 1, 50), np.uint8)
    outcomes[8:] = 1
    # Binomial(16, 1/2): P(X <= 3) = 1.06 %, P(X <= 4) = 3.84 %, so the 2.5 % quantile is 4.
    assert bootstrap(outcomes, 4000) == (4 / 16, 12 / 16)


def test_variances_of_seeds_and_images_add_up():
    """Owen 2007: the variance of the bootstrap is var_A / S + var_B / N + 3 var_E / (S N)."""
    seeds, images = 10, 1000
    shares = np.linspace(0.2, 0.6, seeds)
    outcomes = (DRAW.random((seeds, 1, images)) < shares[:, None, None]).astype(np.uint8)
    low, high = bootstrap(outcomes, 4000)
    table = outcomes[:, 0].astype(float)
    rest = table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()
    # Each marginal variance has one var_E of its own.
    variance = table.mean(1).var() / seeds + table.mean(0).var() / images
    variance += rest.var() / (seeds * images)
    assert high - low == pytest.approx(2 * 1.96 * sqrt(variance), rel=0.05)


def test_heads_are_resampled_within_their_purification():
    outcomes = np.zeros((1, 16, 50), np.uint8)
    outcomes[:, 8:] = 1
    assert bootstrap(outcomes, 4000) == (4 / 16, 12 / 16)
    apart = np.zeros((2, 2, 50), np.uint8)
    apart[1] = 1  # both heads of one purification agree
    assert bootstrap(apart, 4000) == (0.0, 1.0)


def test_the_same_outcomes_give_the_same_interval():
    outcomes = (DRAW.random((3, 3, 200)) < 0.4).astype(np.uint8)
    assert bootstrap(outcomes) == bootstrap(outcomes)


def test_without_any_success_the_interval_is_that_of_wilson():
    found = over_seeds_and_images(np.zeros((3, 3, 100), np.uint8))
    assert (found.low, found.high) == pytest.approx(wilson(0, 100), abs=1e-12)
    assert (found.successes, found.total) == (0.0, 100)


def test_the_interval_holds_seeds_that_differ_more_than_images_do():
    outcomes = np.zeros((3, 2, 400), np.uint8)
    outcomes[0, :, :200] = 1
    found = over_seeds_and_images(outcomes)
    assert found.share == pytest.approx(1 / 6)
    # One seed of three in three draws: 8 of 27 resamples have none.
    assert found.low == pytest.approx(0.0, abs=1e-6)
    assert found.high > wilson(400 / 6, 400)[1] + 0.1


def test_one_head_on_one_encoder_has_the_interval_of_wilson():
    outcomes = (DRAW.random((1, 1, 300)) < 0.4).astype(np.uint8)
    found = over_seeds_and_images(outcomes)
    assert (found.low, found.high) == wilson(float(outcomes.sum()), 300)


def test_no_images_are_nothing_measured():
    found = over_seeds_and_images(np.zeros((3, 3, 0), np.uint8))
    assert (found.total, found.low, found.high) == (0, 0.0, 1.0)
