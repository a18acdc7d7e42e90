"""A row has the means of its heads, and intervals that cover heads and test images."""

from __future__ import annotations

import pytest

from mimic_ray.evaluation.evaluated_row import evaluated_row
from mimic_ray.evaluation.intervals import wilson
from mimic_ray.evaluation.outcomes import acc_over, asr_over
from mimic_ray.evaluation.results import Proportion, Score
from tests.support.evaluated import outcomes, row


def test_a_row_is_the_mean_of_its_heads_on_one_test_set():
    found = row("attacked", (800, 830), (90, 0))
    assert (found.acc.share, found.asr.share) == pytest.approx((0.815, 0.05))
    assert found.acc.total == 1000  # two heads on 1,000 images are not 2,000 images
    assert found.scores == (
        Score(0, Proportion.of(800, 1000), Proportion.of(90, 900)),
        Score(1, Proportion.of(830, 1000), Proportion.of(0, 900)),
    )


def test_the_interval_of_one_head_is_that_of_the_images():
    found = row("attacked", (800,), (90,))
    assert (found.acc.low, found.acc.high) == wilson(800, 1000)
    assert (found.asr.low, found.asr.high) == wilson(90, 900)


def test_the_interval_holds_heads_that_differ():
    """Of 3 heads one hits all images: 8 of 27 resamples of heads have none of it, 1 only it."""
    found = row("attacked", (800, 800, 800), (900, 0, 0))
    assert (found.asr.low, found.asr.high) == (0.0, 1.0)
    assert wilson(300, 900) == pytest.approx((0.30, 0.36), abs=0.01)


def test_equal_heads_add_little_to_the_images_and_nothing_is_narrower():
    once, often = row("x", (810,)).acc, row("x", (810,) * 9).acc
    assert often.low <= once.low < once.high <= often.high
    assert often.high - often.low < 1.1 * (once.high - once.low)


def test_the_intervals_are_those_of_a_comparison():
    given = outcomes((800, 830), (90, 0))
    other = outcomes((700, 720), (500, 450))
    found = evaluated_row("attacked", "mlp", [given, other])
    assert (found.acc, found.asr) == (acc_over([given, other]), asr_over([given, other]))


def test_heads_are_nested_within_encoders():
    """All heads of an encoder agree, so that 8 heads are only 2 draws: a quarter has all or none.

    8 independent draws would have all or none in 1 of 256.
    """
    given = [outcomes((1000,) * 4, (900,) * 4), outcomes((0,) * 4, (0,) * 4)]
    found = evaluated_row("purified", "mlp", given)
    assert (found.asr.share, found.asr.low, found.asr.high) == (0.5, 0.0, 1.0)
    assert (found.encoders, found.heads) == (2, 4)
    assert [score.encoder for score in found.scores] == [0] * 4 + [1] * 4
    assert [score.seed for score in found.scores] == [0, 1, 2, 3] * 2


def test_without_a_trigger_there_is_no_asr():
    found = row("clean", (800, 810))
    assert found.asr is None
    assert [score.asr for score in found.scores] == [None, None]
