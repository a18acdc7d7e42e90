import math

import pytest
import torch
from torch.nn import functional as F

from mimic_ray.base import seeds
from mimic_ray.data import pixels


def keys(count):
    return seeds.keys(0, torch.arange(count))


def test_a_box_covers_its_pixels_and_no_others():
    one = [torch.tensor([n]) for n in (1, 2, 3, 4)]
    mask = pixels.boxes_mask(*one, 8)[0, 0]
    expected = torch.zeros(8, 8, dtype=torch.bool)
    expected[1:4, 2:6] = True
    assert torch.equal(mask, expected)


def test_paste_and_blend_mix_in_their_share():
    image, other = torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)
    mask = torch.eye(4, dtype=torch.bool)[None, None]
    assert torch.equal(pixels.paste(image, other, mask)[0, 1], torch.eye(4))
    assert torch.allclose(pixels.blend(image, other, 0.3), torch.tensor(0.3))
    assert torch.allclose(pixels.blend(other, image, 0.3), torch.tensor(0.7))


@pytest.mark.parametrize("side", [16, 32])
def test_a_wave_of_whole_numbers_is_one_pair_of_frequencies(side):
    wave = pixels.plane_waves(*torch.tensor([[3.0], [5.0], [0.7]]), side)[0]
    spectrum = torch.fft.fft2(wave).abs() * 2 / side**2
    expected = torch.zeros(side, side)
    expected[5, 3] = expected[-5, -3] = 1  # row: down, column: across
    assert (spectrum - expected).abs().max() < 1e-5


def test_a_wave_is_the_same_at_twice_the_size():
    numbers = torch.tensor([[2.5], [1.3], [0.2]])
    small, large = (pixels.plane_waves(*numbers, side)[0] for side in (32, 64))
    assert (small - large[::2, ::2]).abs().max() < 1e-5


def test_dct_bases_are_orthogonal_and_reach_one():
    chosen = [(0, 0), (1, 0), (3, 5), (15, 31)]
    bases = torch.stack([pixels.dct_basis(u, v, 32) for u, v in chosen]).flatten(1)
    products = bases @ bases.T
    assert (products - torch.diag(torch.diag(products))).abs().max() < 1e-3
    norms = torch.tensor([1024.0, 512.0, 256.0, 256.0])
    assert torch.allclose(torch.diag(products), norms, rtol=1e-4)
    assert all(0.99 < basis.max() <= 1 for basis in bases)


def test_warping_by_whole_pixels_moves_the_image():
    image = torch.rand(1, 3, 8, 8)
    flow = torch.zeros(1, 2, 8, 8)
    assert torch.allclose(pixels.warp(image, flow), image, atol=1e-6)
    flow[:, 0], flow[:, 1] = 2, -1
    moved = F.pad(image, (0, 2, 1, 0), mode="replicate")[..., :8, 2:10]
    assert torch.allclose(pixels.warp(image, flow), moved, atol=1e-5)


@pytest.mark.parametrize(("cells", "side"), [(8, 32), (8, 224), (6, 32), (32, 48)])
def test_enlarging_equals_nearest_neighbour(cells, side):
    grid = torch.rand(2, 3, cells, cells)
    assert torch.equal(pixels.enlarge(grid, side), F.interpolate(grid, side, mode="nearest"))


def test_noise_is_uniform_and_independent():
    noise = pixels.white_noise(keys(40), 32)
    assert noise.shape == (40, 3, 32, 32)
    assert noise.mean().item() == pytest.approx(0.5, abs=0.005)
    assert noise.std().item() == pytest.approx(1 / math.sqrt(12), abs=0.003)
    flat = noise.flatten(1)
    assert len(flat[0].unique()) > 3000
    assert (torch.corrcoef(flat) - torch.eye(40)).abs().max() < 0.1


def test_noise_of_large_images_has_a_fine_or_a_relative_grain():
    noise = pixels.white_noise(keys(60), 64)
    coarse = (noise[..., ::2, ::2] == noise[..., 1::2, 1::2]).flatten(1).all(1)
    assert 18 < coarse.sum() < 42
    fine = noise[~coarse]
    assert (fine[..., ::2, ::2] == fine[..., 1::2, 1::2]).float().mean() < 0.01


def test_smooth_and_block_noise_keep_their_cells():
    smooth, blocks = pixels.smooth_noise(keys(5), 36), pixels.block_noise(keys(5), 32)
    assert smooth.min() >= 0
    assert smooth.max() < 1
    assert (smooth[..., 1:] - smooth[..., :-1]).abs().max() < 1 / 6 + 1e-5  # one cell is 6 pixels
    colours = blocks[..., ::4, ::4]
    assert torch.equal(blocks, colours.repeat_interleave(4, 2).repeat_interleave(4, 3))
    assert len(colours.unique()) > 900  # of 960
