"""Builds the encoders of conv_table.py: `resnet18_cifar(size)` and so on, one function a row.

A family is a module with `make(size, **settings)`, `run`, and for its networks `taps(net)`,
`blocks(net)`, `traits(net)` and `feature_width(net, size)`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from mimic_ray.base.errors import UsageError
from mimic_ray.encoders.conv_table import CONV_ENCODERS
from mimic_ray.encoders.encoder import Encoder, Spec
from mimic_ray.encoders.sizes import require_whole_patches


def __getattr__(name: str) -> Callable[..., Encoder]:
    """The function that builds the encoder of that name, for the registry."""
    if name not in CONV_ENCODERS:
        raise AttributeError(name)
    default = CONV_ENCODERS[name].side

    def make(size: int = default) -> Encoder:
        return build(name, size)

    return make


def build(name: str, size: int) -> Encoder:
    """The encoder with random weights. Raises UsageError for a size that it does not take."""
    row = CONV_ENCODERS[name]
    require_whole_patches(name, size, row.patch)
    family = import_module(f"mimic_ray.encoders.{row.family}")
    net = family.make(size, **row.settings)
    width = family.feature_width(net, size)
    if not width:
        raise UsageError(f"{name} reduces {size} pixels to none: use {name}@{row.side}.")
    spec = Spec(
        name,
        feature_width=width,
        input_size=size,
        mean=row.statistics.mean,
        std=row.statistics.std,
        taps=family.taps(net),
        blocks=family.blocks(net),
        traits=family.traits(net),
    )
    return Encoder(spec, net, family.run)
