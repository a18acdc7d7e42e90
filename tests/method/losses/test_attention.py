import pytest
import torch

from mimic_ray.method.losses.attention import attention_loss


def test_maps_that_never_overlap_are_as_far_apart_as_can_be():
    left, right = torch.zeros(1, 3, 4, 4), torch.zeros(1, 5, 4, 4)
    left[..., :2], right[..., 2:] = 1.0, 7.0  # neither width nor scale may matter
    assert attention_loss(left, right).item() == pytest.approx(2.0, abs=1e-5)
    assert attention_loss(left, 9 * left).item() == pytest.approx(0.0, abs=1e-6)


def test_the_mean_over_positions_is_the_sum_divided_by_their_number():
    maps = torch.randn(2, 5, 3, 4, 6).unbind()
    assert attention_loss(*maps, over="mean").item() == pytest.approx(
        attention_loss(*maps, over="sum").item() / 24
    )


def test_only_the_student_learns():
    student, teacher = (torch.randn(2, 3, 4, 4, requires_grad=True) for _ in range(2))
    attention_loss(student, teacher).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


def test_maps_of_other_size_are_refused_with_both_shapes():
    with pytest.raises(ValueError, match=r"student \[2, 4, 8\], teacher \[2, 8, 4\]"):
        attention_loss(torch.randn(2, 3, 4, 8), torch.randn(2, 3, 8, 4))
