"""InfoNCE trains a critic and is a lower bound, so it may only miss on one side."""

import math

import pytest
import torch

from mimic_ray.method.estimators.infonce import InfoNCE, infonce_bound


def test_infonce_reads_most_of_a_correlated_pair_and_never_more_than_log_k(correlated):
    x, y = correlated(2.0, width=2)
    value = InfoNCE(epochs=8).estimate(x, y, seed=0)
    assert 1.5 < value < 2.3  # true: 2.0; held out, so it cannot learn the pairs by heart
    x, y = correlated(50.0, width=2)
    assert InfoNCE(epochs=8).estimate(x, y, seed=0) <= math.log(400)


def test_infonce_of_independent_sides_is_none(correlated):
    x, y = correlated(0.0, width=2)
    assert InfoNCE(epochs=5).estimate(x, y, seed=0) < 0.1


def test_the_infonce_bound_of_perfect_pairs_is_log_k():
    pairs = 100 * torch.eye(8)
    assert infonce_bound(pairs, pairs).item() == pytest.approx(math.log(8))


def test_the_same_seed_gives_the_same_estimate(correlated):
    x, y = correlated(2.0, width=2, count=300)
    estimator = InfoNCE(epochs=2)
    assert estimator.estimate(x, y, seed=3) == estimator.estimate(x, y, seed=3)
