import pytest
import torch
from torch.nn import functional as F

from mimic_ray.base import seeds
from mimic_ray.evaluation.suspicion.frozen import concentration


def test_concentration_is_the_mean_cosine_over_pairs_of_different_images():
    features = F.normalize(seeds.normal(seeds.keys(0, torch.arange(7)), 5), dim=1)
    cosines = features @ features.T
    pairs = [cosines[i, j].item() for i in range(7) for j in range(7) if i != j]
    assert concentration(features).item() == pytest.approx(sum(pairs) / len(pairs), abs=1e-6)


def test_concentration_is_1_for_equal_features_and_negative_for_opposite_ones():
    point = torch.tensor([0.6, 0.8])
    assert concentration(point.expand(9, 2)).item() == pytest.approx(1.0)
    assert concentration(torch.stack([point, -point])).item() == pytest.approx(-1.0)
