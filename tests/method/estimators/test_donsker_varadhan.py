"""The Donsker-Varadhan bound with a trained critic."""

import pytest
import torch

from mimic_ray.base.errors import UsageError
from mimic_ray.method.estimators.donsker_varadhan import DonskerVaradhan, _clipped, dv_bound


def test_donsker_varadhan_finds_a_correlated_pair(correlated):
    x, y = correlated(2.0, width=2, count=1000)
    value = DonskerVaradhan(epochs=12).estimate(x, y, seed=0)
    assert 1.4 < value < 2.6  # true: 2.0; it is read on what it was trained on, so it over-fits


def test_the_dv_bound_is_the_published_formula_and_does_not_overflow():
    draw = torch.Generator().manual_seed(0)
    joint, marginal = (torch.randn(9, generator=draw) for _ in range(2))
    expected = joint.mean() - torch.log(torch.exp(marginal).mean())
    assert dv_bound(joint, marginal).item() == pytest.approx(expected.item(), rel=1e-5)
    assert dv_bound(joint, torch.full((9,), 100.0)).item() == pytest.approx(
        joint.mean().item() - 100, rel=1e-5
    )


def test_negative_and_undefined_batches_count_as_nothing():
    assert _clipped(torch.tensor(-1.0)) == 0.0
    assert _clipped(torch.tensor(float("nan"))) == 0.0
    assert _clipped(torch.tensor(0.5)) == 0.5


def test_a_critic_that_no_machine_could_hold_is_refused_with_the_way_out():
    with pytest.raises(UsageError, match=r"gaussian.*infonce"):
        DonskerVaradhan(epochs=1).estimate(torch.zeros(4, 200_704), torch.zeros(4, 8), seed=0)


def test_the_same_seed_gives_the_same_estimate(correlated):
    x, y = correlated(2.0, width=2, count=300)
    estimator = DonskerVaradhan(epochs=2)
    assert estimator.estimate(x, y, seed=3) == estimator.estimate(x, y, seed=3)
