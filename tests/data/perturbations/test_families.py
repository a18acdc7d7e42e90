"""The documented ranges of each family, measured in its pixels."""

import math

import pytest
import torch
from torch.nn import functional as F

from mimic_ray.base import seeds
from mimic_ray.data.perturbations.blend import blend
from mimic_ray.data.perturbations.blur import binomial_matrix, blur
from mimic_ray.data.perturbations.colour import colour
from mimic_ray.data.perturbations.frequency import frequency
from mimic_ray.data.perturbations.noise import noise
from mimic_ray.data.perturbations.patch import patch
from mimic_ray.data.perturbations.warp import warp

COUNT, SIDE = 600, 32
GREY = 0.5
NO_DONORS = torch.zeros(1, 3, SIDE, SIDE)


def keys(count=COUNT):
    return seeds.keys(0, torch.arange(count))


def grey(count=COUNT):
    return torch.full((count, 3, SIDE, SIDE), GREY)


def share(condition):
    return condition.float().mean().item()


@pytest.fixture(scope="module")
def boxes():
    """Heights, widths and contents of the pasted rectangles on images of -1."""
    donors = torch.full((2, 3, SIDE, SIDE), 7.0)
    pasted = patch(torch.full((COUNT, 3, SIDE, SIDE), -1.0), keys(), donors)
    mask = (pasted != -1).any(1)
    return mask.any(2).sum(1), mask.any(1).sum(1), pasted, mask


def test_patches_are_rectangles_of_3_to_12_pixels_mostly_square(boxes):
    height, width, _, mask = boxes
    assert torch.equal(mask.sum((1, 2)), height * width)
    assert height.min() == width.min() == 3
    assert height.max() == width.max() == 12
    # A rectangle is also square by chance, in about one of nine cases.
    assert share(height == width) == pytest.approx(0.7 + 0.3 / 9, abs=0.06)


def test_patches_are_at_any_position(boxes):
    covered = boxes[3].float().mean(0)
    assert share(covered > 0) > 0.98  # the corners are rare
    assert covered[:16].mean().item() == pytest.approx(covered[16:].mean().item(), rel=0.15)
    assert covered[:, :16].mean().item() == pytest.approx(covered[:, 16:].mean().item(), rel=0.15)


def test_a_fifth_of_the_patches_has_each_filling(boxes):
    _, _, pasted, mask = boxes
    inside = [image[:, chosen] for image, chosen in zip(pasted, mask, strict=True)]
    donor = torch.tensor([bool((part == 7).all()) for part in inside])
    flat = torch.tensor([bool((part == part[:, :1]).all()) for part in inside]) & ~donor
    corner = torch.tensor([bool(((part == 0) | (part == 1)).all()) for part in inside])
    values = torch.tensor([len(part[0].unique()) / part.shape[1] for part in inside])
    # Small patches may be within one block.
    assert share(donor) == pytest.approx(0.2, abs=0.05)
    assert share(corner) == pytest.approx(0.2, abs=0.05)
    assert share(flat & ~corner) == pytest.approx(0.2, abs=0.06)
    assert share(values > 0.9) == pytest.approx(0.2, abs=0.05)


def test_blends_reach_35_percent_of_noise_smooth_noise_or_a_donor():
    far = torch.full((1, 3, SIDE, SIDE), 1.0)
    mixed = blend(torch.zeros(COUNT, 3, SIDE, SIDE), keys(), far)
    donor = mixed.flatten(1).std(1) < 1e-6
    assert share(donor) == pytest.approx(1 / 3, abs=0.06)
    alpha = mixed[donor][:, 0, 0, 0]
    assert alpha.max() < 0.35
    assert alpha.mean().item() == pytest.approx(0.175, abs=0.03)
    rough = (mixed[..., 1:] - mixed[..., :-1]).abs().mean((1, 2, 3)) / mixed.mean((1, 2, 3))
    assert share(rough > 0.4) == pytest.approx(1 / 3, abs=0.06)


def test_an_image_has_one_wave_of_the_documented_amplitude():
    added = frequency(grey(), keys(), NO_DONORS) - GREY
    largest = added.abs().amax((2, 3))
    assert largest.max() <= 0.2 + 1e-6
    assert largest.min() > 0.045  # a slow wave may miss its peak by a little
    # Channels only differ by a factor, so channels x pixels is a rank-1 matrix.
    values = torch.linalg.svdvals(added.flatten(2))
    assert (values[:, 1] / values[:, 0]).max() < 1e-4


def test_half_of_the_waves_are_grey_and_half_are_parallel_to_an_axis():
    added = frequency(grey(), keys(), NO_DONORS) - GREY
    same = (added - added[:, :1]).abs().amax((1, 2, 3)) < 1e-6
    assert share(same) == pytest.approx(0.5, abs=0.06)
    upright = (added - added[:, :, :1]).abs().amax((1, 2, 3)) < 1e-6
    lying = (added - added[..., :1]).abs().amax((1, 2, 3)) < 1e-6
    assert share(upright) == pytest.approx(0.25, abs=0.05)
    assert share(lying) == pytest.approx(0.25, abs=0.05)


def test_wave_numbers_are_log_uniform_up_to_16():
    added = frequency(grey(), keys(), NO_DONORS) - GREY
    upright = (added - added[:, :, :1]).abs().amax((1, 2, 3)) < 1e-6
    padded = F.pad(added[upright][:, 0, 0], (0, 7 * SIDE))
    number = torch.fft.rfft(padded).abs()[:, 4:].argmax(1) / 8 + 0.5
    assert number.max() <= 16.5
    assert share(number < 4) == pytest.approx(0.5, abs=0.12)


def test_waves_slant_in_both_directions():
    added = (frequency(grey(), keys(), NO_DONORS) - GREY)[:, 0]
    slope_down, slope_across = added[:, 1:, :-1] - added[:, :-1, :-1], added[:, :-1, 1:]
    slope_across = slope_across - added[:, :-1, :-1]
    product = (slope_down * slope_across).mean((1, 2))
    slanted = product.abs() > 1e-4
    assert share(product[slanted] > 0) == pytest.approx(0.5, abs=0.1)


def test_colours_get_a_gain_and_an_offset_per_channel():
    low, high = (colour(torch.full_like(grey(), v), keys(), NO_DONORS) for v in (0.2, 0.4))
    gain = ((high - low) / 0.2)[:, :, 0, 0]
    offset = low[:, :, 0, 0] - 0.2 * gain
    assert (gain - 1).abs().max() <= 0.4 + 1e-5
    assert gain.std().item() == pytest.approx(0.8 / math.sqrt(12), rel=0.05)
    assert offset.abs().max() <= 0.1 + 1e-5
    assert offset.std().item() == pytest.approx(0.2 / math.sqrt(12), rel=0.05)
    assert torch.corrcoef(gain.T)[0, 1].abs() < 0.15


def test_the_blur_is_the_binomial_filter_at_32_pixels():
    image = torch.zeros(1, 3, 32, 32)
    image[:, :, 10, 20] = 1
    kernel = torch.tensor([1.0, 2.0, 1.0]) / 4
    matrix = binomial_matrix(32)
    blurred = (matrix @ image @ matrix.T)[0, 0]
    assert torch.allclose(blurred[9:12, 19:22], kernel[:, None] * kernel)
    assert blurred.count_nonzero() == 9


@pytest.mark.parametrize("side", [32, 64, 224])
def test_the_width_of_the_blur_scales_with_the_side_and_flat_areas_are_kept(side):
    matrix = binomial_matrix(side)
    assert torch.allclose(matrix.sum(1), torch.ones(side), atol=1e-6)
    position = torch.arange(side) - side // 2
    variance = (matrix[side // 2] * position**2).sum().item()
    assert math.sqrt(variance) / side == pytest.approx(math.sqrt(0.5) / 32, rel=1e-4)


def test_blurs_blur_and_sharpen():
    image = torch.zeros(COUNT, 3, SIDE, SIDE)
    image[:, :, 16, 16] = 0.5
    amount = (0.5 - blur(image, keys(), NO_DONORS)[:, 0, 16, 16]) / (0.5 * 0.75)
    assert amount.max() <= 1.2
    assert amount.min() >= -0.8
    assert amount.mean().item() == pytest.approx(0.2, abs=0.08)


def test_warps_move_pixels_by_up_to_three_quarters_of_one():
    ramp = (torch.arange(SIDE) / SIDE).expand(COUNT, 3, SIDE, SIDE)
    across, down = warp(ramp, keys(), NO_DONORS), warp(ramp.mT, keys(), NO_DONORS).mT
    moved = SIDE * torch.stack([across - ramp, down - ramp])[..., 3:-3, 3:-3].abs()
    mean = moved.mean((0, 2, 3, 4))
    # Without the border, so the mean is not exactly the drawn one.
    assert mean.max() < 0.75 * 1.2
    assert mean.mean().item() == pytest.approx(0.375, abs=0.04)


def test_noise_has_its_deviation_zero_mean_and_a_different_grain_per_image():
    added = noise(grey(), keys(), NO_DONORS) - GREY
    deviation = added.std((1, 2, 3))
    assert deviation.max() <= 0.12 + 1e-6
    assert deviation.mean().item() == pytest.approx(0.06, abs=0.006)
    assert added.mean((1, 2, 3)).abs().max() < 0.02
    unit = added / deviation[:, None, None, None]
    neighbours = (unit[..., 1:] * unit[..., :-1]).mean((1, 2, 3))
    assert neighbours.std() > 0.15  # fine, coarse, streaked: filters differ
