import itertools

import pytest
import torch

from mimic_ray.base import seeds
from mimic_ray.data.colour_jitter import (
    JITTER_DRAWS,
    Jitter,
    apply_,
    arrange,
    jitter_from,
    shift_hue_,
)

OPERATIONS = ("adjust_brightness", "adjust_contrast", "adjust_saturation", "adjust_hue")


def random_images(count, side=16):
    images = torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0))
    # Including greys and colours with two equal channels, the special cases of hue.
    images[:, :, 0] = 0.5
    images[:, 1, 1] = images[:, 0, 1]
    images[:, :, 2] = images[:, :, 2].round()
    return images


def torchvision_jitter(image, factors, order, jittered, grey):
    from torchvision.transforms import functional as theirs

    for operation in order.tolist() if jittered else ():
        image = getattr(theirs, OPERATIONS[operation])(image, float(factors[operation]))
    return theirs.rgb_to_grayscale(image, 3) if grey else image


def test_all_orders_equal_torchvision():
    orders = torch.tensor(list(itertools.permutations(range(4)))).repeat(2, 1)
    count = len(orders)
    draws = seeds.uniform(seeds.keys(0, torch.arange(count)), JITTER_DRAWS)
    jitter = jitter_from(draws, (0.4, 0.4, 0.4, 0.1), 0.8, 0.2)._replace(order=orders)
    images = random_images(count)
    expected = torch.stack(
        [
            torchvision_jitter(image, *parameters)
            for image, *parameters in zip(images, *jitter, strict=True)
        ]
    )
    assert (apply_(images, arrange(jitter)) - expected).abs().max() < 1e-5


def test_an_image_without_jitter_keeps_every_bit_beside_others():
    jitter = Jitter(
        factors=torch.tensor([[1.3, 0.7, 1.2, 0.0]] * 2),
        order=torch.tensor([[0, 1, 2, 3]] * 2),
        jittered=torch.tensor([True, False]),
        grey=torch.tensor([False, False]),
    )
    images = random_images(2)
    changed = apply_(images.clone(), arrange(jitter))
    assert torch.equal(changed[1], images[1])
    assert not torch.equal(changed[0], images[0])


@pytest.mark.parametrize("sixths", [-1.0, -0.6, 0.25, 1.0])
def test_hue_shifts_as_in_hsv(sixths):
    from torchvision.transforms import functional as theirs

    images = random_images(4)
    expected = theirs.adjust_hue(images, sixths / 6)
    shift_hue_(images, torch.full((4,), sixths / 6))
    assert (images - expected).abs().max() < 5e-6


def test_a_sixth_of_a_turn_makes_red_yellow():
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).clone()
    shift_hue_(red, torch.tensor([1 / 6]))
    assert torch.allclose(red.flatten(), torch.tensor([1.0, 1.0, 0.0]), atol=1e-6)


def test_a_larger_turn_is_refused():
    with pytest.raises(ValueError, match="1/6"):
        jitter_from(torch.rand(1, JITTER_DRAWS), (0.4, 0.4, 0.4, 0.2), 0.8, 0.2)


def test_parameters_have_their_distribution():
    draws = seeds.uniform(seeds.keys(0, torch.arange(24_000)), JITTER_DRAWS)
    jitter = jitter_from(draws, (0.4, 0.3, 0.2, 0.1), 0.8, 0.2)
    for column, middle, amount in ((0, 1, 0.4), (1, 1, 0.3), (2, 1, 0.2), (3, 0, 0.1)):
        drawn = jitter.factors[:, column]
        assert (drawn - middle).abs().max() <= amount + 1e-6
        assert drawn.std().item() == pytest.approx(2 * amount / 12**0.5, rel=0.03)
    codes = (jitter.order * torch.tensor([64, 16, 4, 1])).sum(1)
    counts = codes.unique(return_counts=True)[1]
    assert len(counts) == 24
    assert (counts - 1000).abs().max() < 160  # five standard deviations
    assert jitter.jittered.float().mean().item() == pytest.approx(0.8, abs=0.015)
    assert jitter.grey.float().mean().item() == pytest.approx(0.2, abs=0.015)
