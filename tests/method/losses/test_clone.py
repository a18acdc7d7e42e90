import pytest
import torch

from mimic_ray.method.losses.clone import clone_loss


def test_length_does_not_matter_and_opposite_features_cost_two():
    feature = torch.randn(4, 16)
    assert clone_loss(3 * feature, feature).item() == pytest.approx(0.0, abs=1e-6)
    assert clone_loss(feature, -feature).item() == pytest.approx(2.0)


def test_right_angles_cost_one():
    left, right = torch.eye(4)[:2], torch.eye(4)[2:]
    assert clone_loss(left, right).item() == pytest.approx(1.0)


def test_only_the_student_learns():
    student, teacher = (torch.randn(2, 8, requires_grad=True) for _ in range(2))
    clone_loss(student, teacher).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None
