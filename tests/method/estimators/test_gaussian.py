import math

import pytest
import torch

from mimic_ray.method.estimators.gaussian import Gaussian

EXACT = Gaussian(map_components=20, feature_components=20, noise=0.0)


@pytest.mark.parametrize("information", [2.0, 5.0, 10.0])
def test_correlated_gaussians_give_their_closed_form(correlated, information):
    x, y = correlated(information, width=20)
    assert EXACT.estimate(x, y) == pytest.approx(information, rel=0.05)


def test_independent_sides_have_none(correlated):
    x, y = correlated(0.0, width=20)
    assert EXACT.estimate(x, y) == pytest.approx(0.0, abs=0.15)


def test_an_invertible_linear_map_changes_nothing(correlated):
    x, y = correlated(5.0, width=20)
    mixed = x @ torch.randn(20, 20, generator=torch.Generator().manual_seed(1))
    assert EXACT.estimate(mixed, y) == pytest.approx(EXACT.estimate(x, y), rel=1e-4)


def test_noise_shrinks_each_correlation_by_its_closed_form(correlated):
    """rho^2 -> rho^2 / (1 + s^2) for each of 20 equal correlations."""
    x, y = correlated(10.0, width=20, count=20000)
    rho_squared = 1 - math.exp(-2 * 10.0 / 20)
    expected = -10 * math.log(1 - rho_squared / 2)
    noisy = Gaussian(map_components=20, feature_components=20, noise=1.0)
    assert noisy.estimate(x, y) == pytest.approx(expected, rel=0.03)


def test_a_tap_that_holds_the_feature_reaches_the_ceiling(correlated):
    x, _ = correlated(0.0, width=16)
    estimator = Gaussian(map_components=16, feature_components=16)
    assert estimator.ceiling(16) == pytest.approx(8 * math.log(2))
    assert estimator.estimate(x, x) == pytest.approx(estimator.ceiling(16), rel=0.02)


def test_maps_are_pooled_to_the_same_width_at_any_size():
    estimator = Gaussian(pool=4)
    assert estimator.reduce(torch.randn(2, 3, 32, 32)).shape == (2, 48)
    assert estimator.reduce(torch.randn(2, 3, 2, 2)).shape == (2, 12)


def test_dead_channels_do_not_disturb(correlated):
    x, y = correlated(5.0, width=20)
    with_dead = torch.cat([x, torch.zeros(len(x), 7)], dim=1)
    wide = Gaussian(map_components=27, feature_components=20, noise=0.0)
    assert wide.estimate(with_dead, y) == pytest.approx(EXACT.estimate(x, y), rel=1e-4)
