"""What the convolutional networks of this package have in common.

A network is a stem, stages whose maps are its taps, and what makes a feature of the last map.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, Self

from torch import Tensor, nn

from mimic_ray.encoders.traits import NO_TRAITS, Traits


class ConvNet(nn.Module):
    """Images [B, 3, S, S] -> features [B, D]; `run` gives the maps of its stages, too.

    Attributes:
        feature_width: D.
        taps: Names of the stages.
        paths: Where they are in the network.
        blocks: As in Spec.
        traits: As in Spec.
    """

    feature_width: int
    taps: tuple[str, ...] = ("layer1", "layer2", "layer3", "layer4")
    paths = taps
    blocks: tuple[str, ...] = ("layer*.*",)
    traits: Traits = NO_TRAITS

    @classmethod
    def for_size(cls, size: int, **settings: Any) -> Self:  # noqa: ARG003 - any size
        """The network for images of `size` pixels."""
        return cls(**settings)

    def width_at(self, size: int) -> int:  # noqa: ARG002 - the same at any size
        """D for images of `size` pixels; 0 if nothing is left of them."""
        return self.feature_width

    def stem(self, images: Tensor) -> Tensor:
        """What precedes the first stage."""
        return images

    def stages(self) -> Iterable[Callable[[Tensor], Tensor]]:
        """The stages, one a tap."""
        return map(self.get_submodule, self.paths)

    def pooled(self, x: Tensor) -> Tensor:
        """The feature of the last map: by default its mean over positions."""
        return x.mean(dim=(2, 3))

    def as_map(self, x: Tensor) -> Tensor:
        """The output of a stage as [B, C, H, W]."""
        return x

    def forward(self, images: Tensor) -> Tensor:
        return run(self, images, frozenset())[0]


def run(net: Any, images: Tensor, requested: frozenset[str]) -> tuple[Tensor, dict[str, Tensor]]:
    """Features [B, D] and the maps [B, C, H, W] of the requested taps."""
    maps = {}
    x = net.stem(images)
    for tap, stage in zip(net.taps, net.stages(), strict=True):
        x = stage(x)
        if tap in requested:
            maps[tap] = net.as_map(x)
    return net.pooled(x), maps


def initialise(net: nn.Module, mode: Literal["fan_in", "fan_out"] = "fan_out") -> None:
    """First weights of the convolutions: He et al., arXiv 1502.01852."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")


def attach(net: nn.Module, path: str, module: nn.Module) -> None:
    """Adds a module under a path with dots, and empty modules for what is missing before it."""
    *parents, name = path.split(".")
    for parent in parents:
        if not hasattr(net, parent):
            net.add_module(parent, nn.Module())
        net = net.get_submodule(parent)
    net.add_module(name, module)
