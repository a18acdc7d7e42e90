import pytest
import torch
from torch.nn import functional as F

from mimic_ray.base import seeds
from mimic_ray.data.views import (
    apply_simclr,
    centre,
    draw_simclr,
    flip_and_shift,
    simclr,
    to_float,
)

OPERATIONS = ("adjust_brightness", "adjust_contrast", "adjust_saturation", "adjust_hue")


def keys(count, seed=0):
    return seeds.keys(seed, torch.arange(count))


def pixels(count, side):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, side, side), generator=generator).byte()


def torchvision_view(image, box, flip, factors, order, jittered, grey, side):
    from torchvision.transforms.v2 import functional as theirs

    image = theirs.resized_crop(image, *box.tolist(), [side, side], antialias=True)
    image = to_float(theirs.hflip(image) if flip else image)
    for operation in order.tolist() if jittered else ():
        image = getattr(theirs, OPERATIONS[operation])(image, float(factors[operation]))
    return theirs.rgb_to_grayscale(image, 3) if grey else image


@pytest.mark.parametrize(
    ("images", "side"),
    [
        (pixels(150, 32).float() / 255, 32),
        (pixels(40, 64), 56),
        (pixels(4, 256), 224),
    ],
    ids=["32 float", "64 to 56", "256 to 224"],
)
def test_the_view_equals_torchvisions_with_the_same_parameters(images, side):
    parameters = draw_simclr(keys(len(images)), images.shape[-1])
    each = zip(images, parameters.boxes, parameters.flip, *parameters.jitter, strict=True)
    expected = torch.stack([torchvision_view(*image, side) for image in each])
    assert (apply_simclr(images, parameters, side) - expected).abs().max() < 1e-5


def test_simclr_takes_uint8_and_float_alike():
    from_uint8 = simclr(pixels(20, 32), keys(20), side=32)
    from_float = simclr(to_float(pixels(20, 32)), keys(20), side=32)
    assert torch.equal(from_uint8, from_float)
    # A uint8 crop that shrinks is rounded to whole levels, and jitter may amplify this error.
    from_uint8 = simclr(pixels(20, 64), keys(20), side=56)
    from_float = simclr(to_float(pixels(20, 64)), keys(20), side=56)
    assert (from_uint8 - from_float).abs().mean() < 0.5 / 255


@pytest.mark.parametrize(("size", "side"), [(32, 32), (64, 56)])
def test_an_image_s_view_does_not_depend_on_its_batch(size, side):
    images = pixels(150, size)
    whole = simclr(images, keys(150), side=side)
    halves = [simclr(images[h], keys(150)[h], side=side) for h in (slice(61), slice(61, None))]
    assert (whole - torch.cat(halves)).abs().max() < 1e-5


def test_a_view_is_in_the_unit_interval_and_depends_on_the_key():
    images = pixels(100, 32)
    first, second = (simclr(images, keys(100, seed), side=32) for seed in (0, 1))
    assert first.dtype == torch.float32
    assert first.shape == images.shape
    assert first.min() >= 0
    assert first.max() <= 1
    assert ((first - second).flatten(1).abs().amax(1) > 0).all()


def test_images_that_are_not_square_are_refused():
    with pytest.raises(ValueError, match="3x4"):
        simclr(torch.rand(1, 3, 3, 4), keys(1), side=3)


def test_flip_and_shift_moves_whole_pixels_and_reflects_at_the_border():
    side, most = 16, 3
    images = torch.rand(300, 3, side, side, generator=torch.Generator().manual_seed(0))
    ours = flip_and_shift(images, keys(300), shift=most / side)
    padded = F.pad(images, (most,) * 4, mode="reflect")
    seen = set()
    for view, image in zip(ours, padded, strict=True):
        found = [
            (top, left, flip)
            for top in range(2 * most + 1)
            for left in range(2 * most + 1)
            for flip in (False, True)
            for window in [image[:, top : top + side, left : left + side]]
            if torch.equal(view, window.flip(-1) if flip else window)
        ]
        assert len(found) == 1
        seen.update(found)
    assert len(seen) > 90  # of 98


def test_flip_and_shift_keeps_the_type_and_does_not_depend_on_the_batch():
    images = pixels(50, 32)
    whole = flip_and_shift(images, keys(50))
    assert whole.dtype == torch.uint8
    assert torch.equal(whole[20:], flip_and_shift(images[20:], keys(50)[20:]))


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_the_ends_of_the_range_of_shifts_work(shift):
    images = torch.rand(40, 3, 8, 8)
    moved = flip_and_shift(images, keys(40), shift=shift)
    if shift == 0:
        flipped = (moved == images.flip(-1)).all(3).all(2).all(1)
        assert ((moved == images).all(3).all(2).all(1) ^ flipped).all()
        assert 10 < flipped.sum() < 30


def test_images_of_another_side_are_resized_first():
    images = torch.rand(2, 3, 64, 64)
    moved = flip_and_shift(images, keys(2), shift=0, side=56)
    window = images[..., 4:60, 4:60]
    for view, image in zip(moved, window, strict=True):
        assert torch.equal(view, image) or torch.equal(view, image.flip(-1))


def test_the_test_view_crops_a_small_margin_and_resizes_otherwise():
    from torchvision.transforms.v2 import functional as theirs

    images = torch.rand(2, 3, 64, 64)
    assert centre(images, 64) is images
    assert torch.equal(centre(images, 56), images[..., 4:60, 4:60])
    expected = theirs.resize(images, [32, 32], antialias=True)
    assert torch.allclose(centre(images, 32), expected)
    assert centre(images, 96).shape == (2, 3, 96, 96)


def test_to_float_maps_the_levels_onto_the_unit_interval():
    levels = torch.arange(256).byte().view(1, 1, 16, 16)
    assert torch.equal(to_float(levels).flatten(), torch.arange(256) / 255)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("size", "side"), [(32, 32), (64, 56)])
def test_a_gpu_gives_the_views_of_the_cpu(size, side):
    images = to_float(pixels(60, size))
    ours = simclr(images.cuda(), keys(60), side=side)
    assert (ours.cpu() - simclr(images, keys(60), side=side)).abs().max() < 1e-5
    moved = flip_and_shift(images.cuda(), keys(60).cuda())
    assert torch.equal(moved.cpu(), flip_and_shift(images, keys(60)))
