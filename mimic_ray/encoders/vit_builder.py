"""Builds the vision transformers of vit_table.py. Each name of the table is a function here."""

from __future__ import annotations

from collections.abc import Callable

from mimic_ray.encoders.encoder import Encoder
from mimic_ray.encoders.sizes import require_whole_patches
from mimic_ray.encoders.vit_table import VIT_ENCODERS


def __getattr__(name: str) -> Callable[..., Encoder]:
    if name not in VIT_ENCODERS:
        raise AttributeError(name)

    def make(size: int = VIT_ENCODERS[name].side) -> Encoder:
        return build(name, size)

    return make


def build(name: str, size: int) -> Encoder:
    """The encoder with random weights. Raises UsageError for a size that the patches do not fit."""
    row = VIT_ENCODERS[name]
    if row.family == "clip":
        from mimic_ray.encoders import clip_vit

        return clip_vit.make(name, clip_vit.Tower(**row.settings), row.statistics, size)
    from mimic_ray.encoders import timm_family

    if row.family == "timm":
        return timm_family.build(name=name, size=size, statistics=row.statistics, **row.settings)
    if row.family == "torchvision":
        from mimic_ray.encoders import torchvision_vit

        return torchvision_vit.make(name, row.settings["patch_size"], size)
    from mimic_ray.encoders import vit_variants

    require_whole_patches(name, size, row.settings["patch_size"])
    net = getattr(vit_variants, row.family)(img_size=size, num_classes=0, **row.settings)
    return timm_family.encoder(name, net, size, *row.statistics)
