"""Builds the encoders of conv_table.py: `resnet18_cifar(size)` and so on, one function a row."""

from __future__ import annotations

from collections.abc import Callable
from pkgutil import resolve_name

from mimic_ray.base.errors import UsageError
from mimic_ray.encoders.conv_net import ConvNet, run
from mimic_ray.encoders.conv_table import CONV_ENCODERS
from mimic_ray.encoders.encoder import Encoder, Spec
from mimic_ray.encoders.normalisation import Normalisation
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
    network: type[ConvNet] = resolve_name(f"mimic_ray.encoders.{row.network}")
    net = network.for_size(size, **row.settings)
    if not net.width_at(size):
        raise UsageError(f"{name} reduces {size} pixels to none: use {name}@{row.side}.")
    return encoder(name, net, size, row.statistics)


def encoder(name: str, net: ConvNet, size: int, statistics: Normalisation) -> Encoder:
    """A network as an Encoder for images of `size` pixels."""
    spec = Spec(
        name,
        feature_width=net.width_at(size),
        input_size=size,
        mean=statistics.mean,
        std=statistics.std,
        taps=net.taps,
        blocks=net.blocks,
        traits=net.traits,
    )
    return Encoder(spec, net, run)
