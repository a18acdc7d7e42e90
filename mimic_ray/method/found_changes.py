"""Changes that a scan of the suspect encoder found, as a perturbation for the student.

The families of `data/perturbations` imitate known kinds of triggers. A scan finds what this encoder
answers to, whatever its kind. The student sees each change in many variants, because what is found
has the form of the trigger, not its exact position and strength:

    position  as found in two of five images; otherwise squares are moved within the image, and
              patterns over the whole image are shifted around its edges
    strength  patterns: 0.5 to 2 times as strong, with either sign
              squares: opaque in half of the images, otherwise 0.4 to 1 opaque
    size      patterns: as found in two of five images, otherwise enlarged or shrunk by up to 1.4:
              a wave of 7 periods was found for a trigger of 6
    colour    patterns: as found, grey, or with a weight of its own for each channel, in a third of
              the images each
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from mimic_ray.base import seeds

_AS_FOUND, _OPAQUE = 0.4, 0.5
_LARGEST_ZOOM = 1.4


@dataclass(frozen=True)
class FoundChanges:
    """K >= 1 changes of images of S pixels: x (1 - mask) + canvas, clamped to [0, 1].

    Attributes:
        masks: float32 [K, 1, S, S] in [0, 1], the share of the image that is replaced; all 0 for a
            pattern over the whole image.
        canvases: float32 [K, 3, S, S], 0 where a square does not lie.
    """

    masks: Tensor
    canvases: Tensor

    def __len__(self) -> int:
        return len(self.masks)

    def __call__(
        self, images: Tensor, keys: Tensor, donors: Tensor, strength: float = 1.0
    ) -> Tensor:
        """One change for each image, chosen and varied by its key.

        images [B, 3, S, S] in [0, 1], keys int64 [B]; a `Perturbation`, without donors.
        """
        del donors
        draws = seeds.uniform(keys, 13)
        which = (draws[:, 0] * len(self)).long().clamp_(max=len(self) - 1)
        masks, canvases = self.masks[which], self.canvases[which]
        pattern = masks.flatten(1).amax(dim=1) == 0
        sign = torch.where(draws[:, 1] < 0.5, 1.0, -1.0)
        opacity = torch.where(draws[:, 2] < _OPAQUE, 1.0, 0.4 + 0.6 * draws[:, 3])
        factor = strength * torch.where(pattern, sign * (0.5 + 1.5 * draws[:, 3]), opacity)
        factor = factor.clamp(max=torch.where(pattern, torch.inf, 1.0))[:, None, None, None]
        offsets = self._offsets(which, pattern, draws[:, 4:7])
        zoom = _LARGEST_ZOOM ** (2 * draws[:, 7] - 1)
        zoom = torch.where(pattern & (draws[:, 8] >= _AS_FOUND), zoom, 1.0)
        masks, canvases = _moved(masks, offsets, zoom), _moved(canvases, offsets, zoom)
        canvases = torch.where(
            pattern[:, None, None, None], _coloured(canvases, draws[:, 9:]), canvases
        )
        return (images * (1 - factor * masks) + factor * canvases).clamp_(0, 1)

    def to(self, device: torch.device) -> Self:
        return type(self)(self.masks.to(device), self.canvases.to(device))

    def state(self) -> dict[str, Tensor]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Self:
        return cls(**state)

    def _offsets(self, which: Tensor, pattern: Tensor, draws: Tensor) -> Tensor:
        """int64 [B, 2]: pixels down and across, from draws [B, 3]."""
        side = self.masks.shape[-1]
        low, high = self._margins[which].unbind(dim=1)  # [B, 2] each
        low = torch.where(pattern[:, None], 0, low)
        high = torch.where(pattern[:, None], side - 1, high)
        moved = low + (draws[:, 1:] * (high - low + 1)).long()
        return torch.where(draws[:, :1] < _AS_FOUND, 0, moved)

    @cached_property
    def _margins(self) -> Tensor:
        """int64 [K, 2, 2]: how far each square can move up and left, and down and right."""
        side = self.masks.shape[-1]
        covered = torch.stack([self.masks[:, 0].amax(dim=2), self.masks[:, 0].amax(dim=1)], dim=1)
        rows = torch.arange(side, device=self.masks.device).expand_as(covered)
        first = torch.where(covered > 0, rows, side).amin(dim=2)
        last = torch.where(covered > 0, rows, -1).amax(dim=2)
        return torch.stack([-first, side - 1 - last], dim=1)


def _moved(planes: Tensor, offsets: Tensor, zoom: Tensor) -> Tensor:
    """[B, C, S, S], each image enlarged by its zoom [B] and moved by its offsets [B, 2], around the
    edges. Exact for a zoom of 1, else linear between pixels."""
    side = planes.shape[-1]
    positions = torch.arange(side, device=planes.device)
    for axis in (2, 3):
        source = (positions - offsets[:, axis - 2, None]) / zoom[:, None]  # [B, S]
        low = source.floor()
        share = (source - low).view(-1, 1, *((side, 1) if axis == 2 else (1, side)))
        first, second = (_taken(planes, (low + step).long() % side, axis) for step in (0, 1))
        planes = first + share * (second - first)
    return planes


def _taken(planes: Tensor, positions: Tensor, axis: int) -> Tensor:
    """Rows (axis 2) or columns (axis 3) of [B, C, S, S] at the positions [B, S] of each image."""
    index = positions[:, None, :, None] if axis == 2 else positions[:, None, None, :]
    return planes.gather(axis, index.expand_as(planes))


def _coloured(canvases: Tensor, draws: Tensor) -> Tensor:
    """[B, 3, S, S] as they are, grey, or with a weight for each channel, by draws [B, 4].

    Grey has the height of the strongest channel; weights lie in -1 .. 1, the largest at an end.
    """
    strongest = canvases.flatten(2).abs().amax(dim=2).argmax(dim=1)
    grey = canvases[torch.arange(len(canvases), device=canvases.device), strongest][:, None]
    weights = 2 * draws[:, 1:] - 1
    weights = weights / weights.abs().amax(dim=1, keepdim=True).clamp_min(1e-6)
    kind = draws[:, :1, None, None]
    mixed = torch.where(kind < 2 / 3, grey.expand_as(canvases), weights[:, :, None, None] * grey)
    return torch.where(kind < 1 / 3, canvases, mixed)
