"""Triggers: the attacker's fixed pattern, which turns an image x into x * mask + add.

A new built-in one is one file and one line in the table below.

Each is a function of the image side whose keyword-only parameters are its settings. It returns the
mask and the addend, floating-point tensors [3, S, S] for pixel values in [0, 1]: the mask is the
share of the image that stays, the addend may be negative. The same call returns the same pattern.

On the command line, settings follow the name: `patch:side=12,corner=top-left`.

A trigger of your own is a function in a file:

    # my_triggers.py
    from typing import Annotated

    import torch

    from mimic_ray.parts import setting

    def stripes(
        side,
        *,
        period: Annotated[int, setting("Width of a stripe.", unit="pixels", ge=1)] = 4,
        height: float = 0.1,
    ):
        \"\"\"Vertical stripes added to the whole image.\"\"\"
        wave = (torch.arange(side) // period % 2) * height
        return torch.ones(3, side, side), wave.expand(3, side, side)

It is named `my_triggers.py:stripes`, and with settings `my_triggers.py:stripes:period=8`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from mimic_ray.base import user_code
from mimic_ray.base.errors import UsageError
from mimic_ray.base.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

_USER_PART = re.compile(r"(.*?\.py:[^:]*)(?::(.*))?", re.DOTALL)


class Pattern(Protocol):
    """See the module. The settings are filled in."""

    def __call__(self, side: int, /) -> tuple[Tensor, Tensor]: ...


def split_settings(text: str, kind: str = "trigger") -> tuple[str, dict[str, str]]:
    """`patch:side=12,gap=0` as a name and its settings, which are still text.

    Also of a defence, which is named in the same way. Raises UsageError, which names the `kind`,
    for a part that has no "=".
    """
    found = _USER_PART.fullmatch(text)
    name, settings = (found[1], found[2] or "") if found else text.partition(":")[::2]
    values = {}
    for part in filter(None, settings.split(",")):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise UsageError(f'{kind} {name}: "{part}" is not a setting; expected KEY=VALUE.')
        values[key] = value
    return name, values


def _checked(make: Pattern, name: str) -> Pattern:
    """A user's own function, whose result is checked; a built-in one as it is."""
    if not user_code.is_user_code(name):
        return make

    def checked(side: int, /) -> tuple[Tensor, Tensor]:
        with user_code.named_errors(name):
            mask, add = make(side)
            for part, values in (("mask", mask), ("addend", add)):
                if values.shape != (3, side, side) or not values.isfinite().all():
                    raise ValueError(
                        f"returned a {part} of shape {[*values.shape]}; finite values of shape "
                        f"{[3, side, side]} are expected"
                    )
            if mask.min() < 0 or mask.max() > 1:
                raise ValueError("returned a mask with values outside 0..1")
            return mask, add

    return checked


TRIGGERS = Registry[Pattern](
    "trigger",
    {
        "patch": "mimic_ray.attacks.triggers.patch_trigger:patch",
        "noise_patch": "mimic_ray.attacks.triggers.patch_trigger:noise_patch",
        "blend": "mimic_ray.attacks.triggers.blend_trigger:blend",
        "dct": "mimic_ray.attacks.triggers.dct_trigger:dct",
        "sine": "mimic_ray.attacks.triggers.sine_trigger:sine",
    },
    user_form="functions of the image side that return a mask and an addend",
    calls={"": ("side",)},
    adapt=_checked,
)
