import pytest
import torch

from mimic_ray.base import seeds
from mimic_ray.data.crop import (
    BOX_DRAWS,
    boxes_from,
    crop_by_grid,
    crop_by_product,
    crop_one_by_one,
)


def boxes(count, side):
    draws = seeds.uniform(seeds.keys(1, torch.arange(count)), BOX_DRAWS)
    return boxes_from(draws, side, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3))


def flips(count):
    return torch.arange(count) % 2 == 0


def random_images(count, side):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, side, side), generator=generator).byte()


def expected(images, side):
    from torchvision.transforms.v2 import functional as theirs

    count = len(images)
    return torch.stack(
        [
            theirs.hflip(cut) if flip else cut
            for image, box, flip in zip(
                images, boxes(count, images.shape[-1]).tolist(), flips(count), strict=True
            )
            for cut in [theirs.resized_crop(image, *box, [side, side], antialias=True)]
        ]
    )


@pytest.mark.parametrize(("size", "side"), [(32, 32), (24, 32), (16, 48)])
def test_the_grid_equals_torchvisions_crop_if_no_box_shrinks(size, side):
    images = random_images(64, size).float() / 255
    ours = crop_by_grid(images, boxes(64, size), flips(64), side)
    assert (ours - expected(images, side)).abs().max() < 1e-6


@pytest.mark.parametrize(("size", "side"), [(32, 32), (64, 56), (64, 20), (20, 64)])
def test_the_product_gives_torchvisions_antialiased_crop(size, side):
    images = random_images(32, size).float() / 255
    ours = crop_by_product(images, boxes(32, size), flips(32), side)
    assert (ours - expected(images, side)).abs().max() < 1e-6


def test_one_by_one_gives_torchvisions_levels_for_uint8():
    images = random_images(16, 64)
    ours = crop_one_by_one(images, boxes(16, 64), flips(16), 56)
    assert torch.equal(ours, expected(images, 56).float() / 255)


def test_one_by_one_gives_torchvisions_values_for_float():
    images = random_images(16, 64).float() / 255
    ours = crop_one_by_one(images, boxes(16, 64), flips(16), 56)
    assert torch.equal(ours, expected(images, 56))


def test_a_crop_does_not_depend_on_pixels_outside_its_box():
    images = torch.zeros(1, 3, 32, 32)
    box = torch.tensor([[10, 8, 5, 6]])
    images[:, :, 10:15, 8:14] = 1
    for way in (crop_by_grid, crop_by_product, crop_one_by_one):
        assert torch.allclose(way(images, box, flips(1), 32), torch.ones(1), atol=1e-6)


def test_boxes_are_inside_and_have_the_requested_areas_and_ratios():
    top, left, height, width = boxes(20_000, 224).unbind(1)
    assert min(top.min(), left.min()) >= 0
    assert max((top + height).max(), (left + width).max()) <= 224
    area = height * width / 224**2
    assert area.min() > 0.08 * 0.98
    assert (width / height).min() > 3 / 4 * 0.98
    assert (width / height).max() < 4 / 3 * 1.02
    # Below 0.56 = 3/4 x 3/4 every drawn box fits, so these areas are uniform.
    share = ((area < 0.3).sum() / (area < 0.52).sum()).item()
    assert share == pytest.approx((0.3 - 0.08) / (0.52 - 0.08), abs=0.02)
    # Positions are uniform.
    free = top[height < 224] / (224 - height[height < 224])
    assert free.mean().item() == pytest.approx(0.5, abs=0.02)


def test_if_no_box_fits_the_whole_image_is_used():
    draws = torch.full((3, BOX_DRAWS), 0.999)
    assert boxes_from(draws, 32, (1.0, 1.0), (2.0, 3.0)).tolist() == [[0, 0, 32, 32]] * 3
