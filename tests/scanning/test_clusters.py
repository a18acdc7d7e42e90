"""Spherical k-means on points whose clusters are known."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from mimic_ray.scanning.clusters import clusters


def around(centres, each, noise):
    generator = torch.Generator().manual_seed(0)
    spread = noise * torch.randn(len(centres), each, centres.shape[1], generator=generator)
    return F.normalize(centres[:, None] + spread, dim=2).flatten(0, 1)


def test_clusters_of_separate_groups_are_their_centres():
    truth = torch.eye(6)[:4]
    found = clusters(around(truth, 20, 0.05), 4, seed=0)
    assert (found @ truth.T).amax(dim=0).min() > 0.99
    assert torch.allclose(found.norm(dim=1), torch.ones(4), atol=1e-5)


def test_there_are_no_more_clusters_than_points():
    points = torch.eye(3)
    found = clusters(points, 10, seed=0)
    assert len(found) == 3


def test_equal_points_give_a_cluster_and_no_failure():
    found = clusters(F.normalize(torch.ones(8, 4), dim=1), 3, seed=0)
    assert found.isfinite().all()
