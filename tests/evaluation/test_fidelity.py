import pytest
import torch

from mimic_ray.base import seeds
from mimic_ray.evaluation.fidelity import fidelity


def drawn(count: int, width: int, seed: int = 0) -> torch.Tensor:
    return seeds.normal(seeds.keys(seed, torch.arange(count)), width)


def test_a_copy_has_fidelity_1_at_any_length_of_its_features():
    teacher = drawn(50, 8)
    close = fidelity(teacher * torch.linspace(0.1, 9, 50)[:, None], teacher)
    assert (close.cosine, close.overlap, close.score) == pytest.approx((1, 1, 1))


def test_a_rotation_keeps_all_neighbours_but_not_the_cosine():
    teacher = drawn(40, 6)
    rotation, _ = torch.linalg.qr(drawn(6, 6, seed=1))
    close = fidelity(teacher @ rotation, teacher)
    expected = torch.cosine_similarity(teacher @ rotation, teacher).mean().item()
    assert close.cosine == pytest.approx(expected)
    assert close.overlap == 1.0
    assert close.score == pytest.approx((expected + 1) / 2)


def test_unrelated_features_share_neighbours_only_by_chance():
    close = fidelity(drawn(400, 32), drawn(400, 32, seed=1))
    assert close.overlap == pytest.approx(10 / 399, abs=0.01)
    assert close.cosine == pytest.approx(0, abs=0.03)


def test_the_overlap_of_images_on_a_circle_that_swap_positions():
    # 8 positions with 2 neighbours each. Images 0 and 4 swap positions: these two keep no
    # neighbour, the four next to them keep one of two, the other two keep both.
    angle = torch.arange(8) * torch.pi / 4
    teacher = torch.stack([angle.cos(), angle.sin()], dim=1)
    swapped = teacher[[4, 1, 2, 3, 0, 5, 6, 7]]
    assert fidelity(swapped, teacher, neighbours=2).overlap == pytest.approx(8 / 16)


def test_the_order_of_images_does_not_matter():
    student, teacher = drawn(700, 8), drawn(700, 8) + 0.5 * drawn(700, 8, seed=1)
    order = torch.randperm(700, generator=torch.Generator().manual_seed(0))
    one, other = fidelity(student, teacher), fidelity(student[order], teacher[order])
    assert one.overlap == other.overlap
    assert one.cosine == pytest.approx(other.cosine)


def test_features_of_different_shapes_are_refused_with_both_shapes():
    with pytest.raises(ValueError, match=r"student \[5, 4\], teacher \[5, 3\]"):
        fidelity(torch.ones(5, 4), torch.ones(5, 3))
