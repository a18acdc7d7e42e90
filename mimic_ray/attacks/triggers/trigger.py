"""The attacker's fixed pattern, and how it gets onto an image: x * mask + add."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mimic_ray.attacks.triggers import trigger_file
from mimic_ray.attacks.triggers.trigger_registry import TRIGGERS, split_settings
from mimic_ray.base.storage import local_copy


@dataclass(frozen=True)
class Trigger:
    """Pixel values in [0, 1]; `add` may be negative where a wave darkens the image."""

    name: str
    mask: Tensor  # float32 [3, S, S], the share of the image that stays
    add: Tensor  # float32 [3, S, S]

    @property
    def side(self) -> int:
        return self.mask.shape[-1]

    def apply(self, images: Tensor) -> Tensor:
        """uint8 [B, 3, S, S] -> uint8, as BadEncoder does it: x * mask + add, cut to whole levels.

        Unlike there, values beyond 0 and 255 are clamped, not wrapped around.
        """
        mask, add = self.mask.to(images.device), self.add.to(images.device)
        # 1/1000 of a grey level: 254.9999, which only float32 makes of 255, must not become 254.
        return (images * mask + (255 * add + 1e-3)).clamp_(0, 255).to(torch.uint8)


def make_trigger(text: str, side: int) -> Trigger:
    """The trigger for images of `side` pixels.

    `text` is a name, a name with settings (`patch:side=12,corner=top-left`), the same with
    `file.py:function` as the name, or a file in BadEncoder's format (`*.npz`) or its address.
    Raises UnknownNameError for a name or setting that does not exist, UsageError for an invalid
    value, a failure of the user's function or a file for another size, DataError for a file that
    holds no trigger.
    """
    if text.endswith(".npz"):
        path = local_copy(text)
        return Trigger(path.name, *trigger_file.read_pattern(path, side))
    mask, add = TRIGGERS.resolve(*split_settings(text))(side)
    return Trigger(text, mask.to(torch.float32), add.to(torch.float32))


def write_trigger(trigger: Trigger, path: Path) -> None:
    """The trigger in BadEncoder's format, one 0..255 image with a leading axis."""
    trigger_file.write_pattern(path, trigger.mask, trigger.add, trigger.name)
