"""Universal adversary: a few perturbations, each shared by many images, that still change the
student's features. It finds triggers that no list of perturbations contains.

Each slot holds one perturbation in one basis. In a step some slots are used, each on a share of
the images; the backward pass of the training step gives the gradient with respect to them for
free, and one ascent step of the same loss improves them. After `uses` uses a slot is reset.

    images -> images * (1 - mask) + canvas        clamped to [0, 1]

    pixel    additive, |canvas| <= size; sign steps of a quarter of the size
    fourier  additive; momentum 0.7 over the gradient's 2-D FFT, its 1-3 strongest waves kept
    coarse   additive; gradient averaged on a 1, 2, 4 or 6 grid, sign of its momentum, enlarged,
             1.5 x the size (a large smooth change is as hard to see as a small sharp one)
    patch    pasted, free values, side 4/32 .. 10/32 of the image, sign steps of 0.2

Source of the idea: universal adversarial perturbations, arXiv 1610.08401, here with asymmetric
views: the teacher does not see them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mimic_ray.base import seeds
from mimic_ray.method.recipe_sections import Adversary, Basis

# What each basis contains, for the model card.
BASES: dict[Basis, str] = {
    "pixel": "free pixels",
    "fourier": "a few waves",
    "coarse": "coarse colour fields",
    "patch": "patches",
}
_MOMENTUM = 0.7


@dataclass
class Slot:
    """One perturbation. `box` is (top, left, side) of a patch, zeros otherwise."""

    basis: str
    canvas: Tensor  # [3, S, S]
    momentum: Tensor  # [3, S, S], or its spectrum for "fourier"
    size: float
    detail: int  # waves kept, or cells of the grid
    box: tuple[int, int, int]
    used: int = 0
    renewals: int = 0


class UniversalAdversary:
    """The slots of a run. Same seed, same gradients: same perturbations."""

    def __init__(self, settings: Adversary, side: int, seed: int, device: torch.device) -> None:
        self.settings, self.side, self.seed, self.device = settings, side, seed, device
        bases = [basis for _ in range(settings.slots_per_basis) for basis in settings.bases]
        self.slots = [self._fresh(basis, number, 0) for number, basis in enumerate(bases)]
        # Initial use counts are staggered, so that they are not all renewed in the same step.
        for number, slot in enumerate(self.slots):
            slot.used = number * settings.uses // len(self.slots)

    def attach(self, images: Tensor, keys: Tensor, step: int) -> tuple[Tensor, Tensor, list[int]]:
        """Student images [B, 3, S, S] -> (images with perturbations, their leaf, slots in use).

        After the backward pass the leaf's `.grad` [K, 3, S, S] belongs into `improve`. `keys` on
        the host: how many images are changed would else be asked of the device.
        """
        count = min(self.settings.slots_per_step, len(self.slots))
        used = [(step * count + k) % len(self.slots) for k in range(count)]
        leaf = torch.stack([self.slots[k].canvas for k in used]).requires_grad_()
        masks = torch.stack([self._mask(self.slots[k]) for k in used])
        draws = seeds.uniform(seeds.keys(keys, "adversary"), 2)
        rows = torch.nonzero(draws[:, 0] < self.settings.share)[:, 0]
        slot_of_row = (draws[rows, 1] * count).long().clamp_(max=count - 1)
        # One matrix product instead of a gather: its backward is a product as well.
        choice = F.one_hot(slot_of_row, count).to(images)
        rows = rows.to(images.device)
        canvas = (choice @ leaf.flatten(1)).view(-1, *leaf.shape[1:])
        mask = (choice @ masks.flatten(1)).view(-1, 1, self.side, self.side)
        changed = (images[rows] * (1 - mask) + canvas).clamp(0, 1)
        return images.index_copy(0, rows, changed), leaf, used

    @torch.no_grad()
    def improve(self, gradient: Tensor, used: list[int]) -> None:
        """One ascent step for each slot in use, from the gradient [K, 3, S, S] over all workers."""
        for g, number in zip(gradient, used, strict=True):
            slot = self.slots[number]
            _ASCENTS[slot.basis](slot, g)
            slot.used += 1
            if slot.used >= self.settings.uses:
                self.slots[number] = self._fresh(slot.basis, number, slot.renewals + 1)

    def state(self) -> list[dict[str, Any]]:
        """What a resumed run needs."""
        return [{**vars(slot), "box": list(slot.box)} for slot in self.slots]

    def load(self, state: list[dict[str, Any]]) -> None:
        self.slots = [
            Slot(
                **{
                    **saved,
                    "box": tuple(saved["box"]),
                    "canvas": saved["canvas"].to(self.device),
                    "momentum": saved["momentum"].to(self.device),
                }
            )
            for saved in state
        ]

    def _fresh(self, basis: str, number: int, renewals: int) -> Slot:
        side = self.side
        key = seeds.keys(self.seed, "adversary", number, renewals)
        size_draw, detail_draw, side_draw, top, left = seeds.uniform(key, 5).tolist()
        size = self.settings.size * (0.5 + size_draw)
        noise = seeds.uniform(seeds.keys(key, "start"), 3 * side * side).view(3, side, side)
        slot = Slot(
            basis=basis,
            canvas=((2 * noise - 1) * size).to(self.device),
            momentum=torch.zeros(3, side, side, device=self.device),
            size=size,
            detail=0,
            box=(0, 0, 0),
            renewals=renewals,
        )
        if basis == "fourier":
            slot.detail = 1 + int(detail_draw * 3)
            spectrum = torch.fft.rfft2(slot.canvas)
            slot.momentum = torch.view_as_real(torch.zeros_like(spectrum)).contiguous()
            slot.canvas = _strongest_waves(spectrum, slot.detail, size, side)
        elif basis == "coarse":
            slot.detail = (1, 2, 4, 6)[int(detail_draw * 4)]
            cells = F.adaptive_avg_pool2d(slot.canvas, slot.detail)
            slot.canvas = _enlarge(cells.sign() * 1.5 * size, side)
        elif basis == "patch":
            edge = max(1, round(side * (4 + 6 * side_draw) / 32))
            slot.box = (int(top * (side - edge + 1)), int(left * (side - edge + 1)), edge)
            slot.canvas = noise.to(self.device) * self._mask(slot)
        return slot

    def _mask(self, slot: Slot) -> Tensor:
        top, left, edge = slot.box
        mask = torch.zeros(1, self.side, self.side, device=self.device)
        mask[:, top : top + edge, left : left + edge] = 1
        return mask


def _ascend_pixel(slot: Slot, gradient: Tensor) -> None:
    step = 0.25 * slot.size * gradient.sign()
    slot.canvas = (slot.canvas + step).clamp(-slot.size, slot.size)


def _ascend_fourier(slot: Slot, gradient: Tensor) -> None:
    spectrum = torch.fft.rfft2(_unit(gradient))
    momentum = _MOMENTUM * torch.view_as_complex(slot.momentum) + spectrum
    slot.momentum = torch.view_as_real(momentum).contiguous()
    slot.canvas = _strongest_waves(momentum, slot.detail, slot.size, slot.canvas.shape[-1])


def _ascend_coarse(slot: Slot, gradient: Tensor) -> None:
    slot.momentum = _MOMENTUM * slot.momentum + _unit(gradient)
    cells = F.adaptive_avg_pool2d(slot.momentum, slot.detail)
    slot.canvas = _enlarge(cells.sign() * 1.5 * slot.size, slot.canvas.shape[-1])


def _ascend_patch(slot: Slot, gradient: Tensor) -> None:
    top, left, edge = slot.box
    inside = (slice(None), slice(top, top + edge), slice(left, left + edge))
    slot.canvas[inside] = (slot.canvas[inside] + 0.2 * gradient[inside].sign()).clamp(0, 1)


_ASCENTS = {
    "pixel": _ascend_pixel,
    "fourier": _ascend_fourier,
    "coarse": _ascend_coarse,
    "patch": _ascend_patch,
}


def _strongest_waves(spectrum: Tensor, count: int, size: float, side: int) -> Tensor:
    """The `count` strongest plane waves of [3, S, S/2+1], scaled to largest value `size`."""
    energy = spectrum.abs().square().sum(dim=0)
    energy[0, 0] = 0  # the coarse basis has the constant
    threshold = energy.flatten().topk(count).values[-1]
    waves = torch.fft.irfft2(spectrum * (energy >= threshold), s=(side, side))
    return waves * (size / waves.abs().max().clamp_min(1e-12))


def _enlarge(cells: Tensor, side: int) -> Tensor:
    return F.interpolate(cells[None], size=(side, side), mode="bilinear", align_corners=False)[0]


def _unit(gradient: Tensor) -> Tensor:
    """Length 1, since gradients shrink as the student learns and the momentum adds them up."""
    return gradient / gradient.norm().clamp_min(1e-12)
