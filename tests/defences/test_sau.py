from __future__ import annotations

import pytest
import torch

from mimic_ray.defences.sau import shared_goal


def test_the_goal_is_that_both_move_alike_and_to_one_place():
    torch.manual_seed(0)
    f, g, plain = (torch.nn.functional.normalize(torch.randn(3, 5), dim=1) for _ in range(3))
    alike, together = 0.0, 0.0
    for i in range(3):
        a_f, a_g = f[i] - plain[i], g[i] - plain[i]
        alike += float(a_f.norm() * a_g.norm() * torch.cosine_similarity(a_f, a_g, dim=0)) / 3
        together += sum(float(f[i] @ f[j]) for j in range(3) if j != i) / 6
    assert shared_goal(f, g, plain, 0.5).item() == pytest.approx(alike + 0.5 * together, rel=1e-4)


def test_a_student_that_keeps_the_plain_feature_leaves_nothing_to_share():
    f, plain = (torch.nn.functional.normalize(torch.randn(4, 5), dim=1) for _ in range(2))
    assert shared_goal(f, plain, plain, 0.0).item() == 0
