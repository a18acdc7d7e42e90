"""Triggers by name. Each is a function (image side, settings by keyword) -> mask, addend [3, S, S].

The settings' types and defaults are read off the function, so that `patch:side=12` needs no parser
of its own. A new trigger is one file and one line here.
"""

from __future__ import annotations

from typing import Any

from mimic_ray.base.registry import Registry

TRIGGERS = Registry[Any](
    "trigger",
    {
        "patch": "mimic_ray.attacks.triggers.patch_trigger:patch",
        "noise_patch": "mimic_ray.attacks.triggers.patch_trigger:noise_patch",
        "blend": "mimic_ray.attacks.triggers.blend_trigger:blend",
        "dct": "mimic_ray.attacks.triggers.dct_trigger:dct",
        "sine": "mimic_ray.attacks.triggers.sine_trigger:sine",
    },
)
