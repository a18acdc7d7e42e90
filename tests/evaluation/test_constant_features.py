"""Features that do not depend on the image."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mimic_ray.base.errors import CheckpointError
from mimic_ray.evaluation.constant_features import are_constant, require_features

DIFFERENT = F.normalize(torch.randn(20, 8, generator=torch.Generator().manual_seed(0)), dim=1)


@pytest.mark.parametrize("constant", [DIFFERENT[:1].expand(20, -1), torch.zeros(20, 8)])
def test_one_feature_for_all_is_found_and_refused(constant):
    assert are_constant(constant)
    with pytest.raises(
        CheckpointError, match=r"same feature, so there is nothing to purify: check"
    ):
        require_features(constant, "tiny", "purify")


def test_features_that_differ_are_usable_and_those_that_are_not_finite_are_not():
    assert not are_constant(DIFFERENT)
    require_features(DIFFERENT, "tiny", "purify")
    with pytest.raises(CheckpointError, match="not finite, so there is nothing to purify"):
        require_features(DIFFERENT / 0, "tiny", "purify")
