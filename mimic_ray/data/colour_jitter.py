"""Brightness, contrast, saturation and hue of a batch, each image with its own values and order.

The first three are one operation, `x <- clamp(f x + (1 - f) other)`, where `other` is black, the
mean grey or the grey image. So all images go through the same slots together, in any order:

    3 blends | hue | 3 blends | to grey (a saturation of 0)

An unused slot has f = 1, which changes no bit. The result equals torchvision's ColorJitter and
RandomGrayscale on float tensors with the same parameters, to 2e-6.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
JITTER_DRAWS = 10
_HUE_BEFORE, _GREY_SLOT, _SLOTS = 3, 6, 7
# ITU-R BT.601 luma, in torchvision's rounding.
_LUMA = (0.2989, 0.587, 0.114)


class Jitter(NamedTuple):
    """Parameters of B images."""

    factors: Tensor  # float [B, 4]: of brightness, contrast, saturation; shift of hue in turns
    order: Tensor  # int64 [B, 4]: permutation of the four, in the order of application
    jittered: Tensor  # bool [B]: whether the four are applied
    grey: Tensor  # bool [B]: whether the image is converted to grey at the end

    def to(self, device: torch.device) -> Jitter:
        return Jitter(*(part.to(device) for part in self))


class Slots(NamedTuple):
    """The parameters as weights of blends: x <- f x + to_mean * mean grey + to_grey * grey."""

    factor: Tensor  # [B, 7]
    to_mean: Tensor
    to_grey: Tensor
    hue: Tensor  # [B]

    def rows(self, chosen: slice) -> Slots:
        return Slots(*(part[chosen] for part in self))


def jitter_from(
    draws: Tensor, amounts: tuple[float, float, float, float], jittered: float, grey: float
) -> Jitter:
    """Uniform numbers [B, JITTER_DRAWS] -> parameters of B images.

    Factors are uniform in 1 -+ amount, the shift of hue in -+ amount of a turn. `jittered` and
    `grey` are shares of the images. Raises ValueError for more than 1/6 of a turn.
    """
    if amounts[HUE] > 1 / 6:
        raise ValueError(f"the hue can shift by at most 1/6 of a turn, got {amounts[HUE]}")
    middle = draws.new_tensor([1.0, 1.0, 1.0, 0.0])
    factors = middle + draws.new_tensor(amounts) * (2 * draws[:, :4] - 1)
    return Jitter(factors, draws[:, 4:8].argsort(1), draws[:, 8] < jittered, draws[:, 9] < grey)


def arrange(jitter: Jitter) -> Slots:
    """The slot of each operation of each image."""
    position = jitter.order.argsort(dim=1)
    blends, hue = position[:, :HUE], position[:, HUE:]
    # Positions 0..2 before the hue shift are slots 0..2, positions 1..3 after it slots 3..5.
    slot = torch.where(blends < hue, blends, blends + 2)
    on = jitter.jittered[:, None]
    factors = torch.where(on, jitter.factors[:, :HUE], 1.0)
    factor = factors.new_ones(len(factors), _SLOTS).scatter_(1, slot, factors)
    to_mean = torch.zeros_like(factor).scatter_(1, slot[:, [CONTRAST]], 1 - factors[:, [CONTRAST]])
    to_grey = torch.zeros_like(factor).scatter_(
        1, slot[:, [SATURATION]], 1 - factors[:, [SATURATION]]
    )
    factor[:, _GREY_SLOT] = (~jitter.grey).to(factor.dtype)
    to_grey[:, _GREY_SLOT] = jitter.grey.to(factor.dtype)
    return Slots(factor, to_mean, to_grey, torch.where(on, jitter.factors[:, HUE:], 0.0)[:, 0])


def apply_(images: Tensor, slots: Slots) -> Tensor:
    """Changes float images [B, 3, H, W] in place."""
    in_use = [_in_use(part) for part in (slots.factor - 1, slots.to_mean, slots.to_grey)]
    for slot, (scaled, averaged, greyed) in enumerate(zip(*in_use, strict=True)):
        if slot == _HUE_BEFORE and any(_in_use(slots.hue[:, None])):
            shift_hue_(images, slots.hue)
        if scaled:
            factor, to_mean, to_grey = (part[:, slot].view(-1, 1, 1, 1) for part in slots[:3])
            other = torch.zeros_like(factor)
            if greyed:
                grey = _luma(images)
                mean = grey.mean(dim=(2, 3), keepdim=True)
                other = grey.mul_(to_grey).add_(mean.mul_(to_mean))
            elif averaged:  # the mean of the grey image, without computing that image
                other = _luma(images.mean(dim=(2, 3), keepdim=True)).mul_(to_mean)
            images.mul_(factor).add_(other).clamp_(0, 1)
    return images


def _in_use(weights: Tensor) -> list[bool]:
    """For each slot of weights [B, K], whether an image uses it. Always true on a GPU, where the
    check would synchronise with the device."""
    if weights.is_cuda:
        return [True] * weights.shape[1]
    return (weights != 0).any(dim=0).tolist()


def _luma(images: Tensor) -> Tensor:
    """[B, 3, H, W] -> luma [B, 1, H, W]."""
    red, green, blue = images.split(1, dim=1)
    return (red * _LUMA[0]).add_(green, alpha=_LUMA[1]).add_(blue, alpha=_LUMA[2])


def shift_hue_(images: Tensor, turns: Tensor) -> None:
    """Shifts the hue of images [B, 3, H, W] in HSV, in place, by turns [B] of at most 1/6.

    Let M and m be the largest and smallest channel, C = M - m, and h the angle from a channel's own
    colour in sixths of a turn. Then HSV defines channel = m + C clamp(2 - |h|, 0, 1). Solved for h,
    red has C |h| = 2 C - (R - G - B + M) and the sign of G - B; the other channels follow by cyclic
    permutation. This needs no division and no cases. Up to 1/6 of a turn it needs no wrap either,
    because beyond |h| = 3 the clamp gives 0.
    """
    red, green, blue = images.split(1, dim=1)
    top = torch.maximum(torch.maximum(red, green), blue)
    low = torch.minimum(torch.minimum(red, green), blue)
    chroma = top - low
    # C |h| = M - 2 m + (R + G + B) - 2 x for each channel x.
    rest = (red + green).add_(blue).add_(top).sub_(low, alpha=2)
    angle = torch.sub(rest, images, alpha=2)
    side = torch.empty_like(images)
    for channel, (after, before) in enumerate(((green, blue), (blue, red), (red, green))):
        torch.sub(after, before, out=side[:, channel : channel + 1])
    angle.copysign_(side).add_(chroma * (6 * turns.view(-1, 1, 1, 1))).abs_()
    lit = torch.sub(2 * chroma, angle, out=angle).clamp_(min=0)
    torch.add(torch.minimum(lit, chroma, out=lit), low, out=images)
