"""The one interface of every encoder: image -> feature, with named taps read in the same forward.

Shapes: B images, S input side in pixels, D feature width, C channels, H x W positions of a map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mimic_ray.base.argument_types import check_fields, checked_arguments
from mimic_ray.encoders.depthwise import keep_in_float32
from mimic_ray.encoders.traits import NO_TRAITS, Traits

# Each family provides it: (net, normalised images, requested taps) -> (features [B, D], maps).
Run = Callable[[nn.Module, Tensor, frozenset[str]], tuple[Tensor, dict[str, Tensor]]]


@dataclass(frozen=True)
class Spec:
    """The facts of an encoder that do not depend on its weights.

    Attributes:
        name: Shown to users and kept in records.
        feature_width: D, the length of a feature vector.
        input_size: S, the side of its square input in pixels.
        mean: Mean of the three channels in the training of the network, for values in [0, 1].
        std: Standard deviation of the three channels in the training of the network.
        taps: Names of the layers whose maps can be read, in the order of the network.
        blocks: Paths in the network of its repeated blocks, which are sharded, compiled or
            recomputed one at a time; `*` stands for one part of a path, as in `layer*.*`. Empty:
            they are found by structure, see `encoders/blocks.py`.
        traits: What the names and shapes of its weights do not determine, such as attention heads.

    Example:
        import mimic_ray

        spec = mimic_ray.Spec(
            name="my_net",
            feature_width=64,
            input_size=32,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
            taps=("stem", "stage"),
        )
    """

    name: str
    feature_width: int
    input_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    taps: tuple[str, ...]
    blocks: tuple[str, ...] = ()
    traits: Traits = NO_TRAITS

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def input(self) -> dict[str, Any]:
        """Size and statistics of the images, as records have them."""
        return {"size": self.input_size, "mean": list(self.mean), "std": list(self.std)}


class Encoder(nn.Module):
    """A network image -> feature vector, without its classifier head or projector.

    For your own architecture, write a function that returns an Encoder, and pass its name as
    `"my_net.py:build"`. `run` computes features and the requested maps in one forward pass, from
    images that are already normalised by `spec.mean` and `spec.std`.

    Args:
        spec: Sizes, normalisation and layer names.
        net: Holds the weights; its state_dict has the keys of your checkpoints.
        run: (net, images [B, 3, S, S], names of taps) -> features [B, D], {tap: map [B, C, H, W]}.

    Example:
        from torch import nn
        from mimic_ray import Encoder, Spec

        def run(net, images, taps):
            maps = net[0](images).relu()
            features = net[1](maps.mean(dim=(2, 3)))
            return features, {"conv": maps} if "conv" in taps else {}

        def build():
            half = (0.5, 0.5, 0.5)
            spec = Spec("my_net", 64, 32, mean=half, std=half, taps=("conv",))
            return Encoder(spec, nn.Sequential(nn.Conv2d(3, 16, 3), nn.Linear(16, 64)), run)
    """

    mean: Tensor
    std: Tensor

    @checked_arguments
    def __init__(self, spec: Spec, net: nn.Module, run: Run) -> None:
        super().__init__()
        self.spec = spec
        keep_in_float32(net)
        self.net = net
        self._run = run
        self.register_buffer("mean", torch.tensor(spec.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(spec.std).view(1, 3, 1, 1), persistent=False)

    @property
    def has_batch_norm(self) -> bool:
        """Whether the network, and so its learning rate, depends on the statistics of a batch."""
        return any(isinstance(module, _BatchNorm) for module in self.net.modules())

    def with_spec(self, spec: Spec) -> Encoder:
        """The same network under another name or with other statistics of the input."""
        return Encoder(spec, self.net, self._run)

    def followed_by(self, change: Callable[[Tensor], Tensor]) -> Encoder:
        """The same network with a function of the features [B, D] -> [B, D] behind it."""

        def run(
            net: nn.Module, images: Tensor, taps: frozenset[str]
        ) -> tuple[Tensor, dict[str, Tensor]]:
            features, maps = self._run(net, images, taps)
            return change(features), maps

        return Encoder(self.spec, self.net, run)

    @overload
    def forward(self, images: Tensor, taps: None = None) -> Tensor: ...
    @overload
    def forward(self, images: Tensor, taps: Sequence[str]) -> tuple[Tensor, list[Tensor]]: ...
    def forward(
        self, images: Tensor, taps: Sequence[str] | None = None
    ) -> Tensor | tuple[Tensor, list[Tensor]]:
        """Images [B, 3, S, S] with values in [0, 1] -> features [B, D], not normalised.

        With `taps`, also the maps [B, C, H, W] of those taps, in the same order.
        Raises ValueError for another image size or an unknown tap.
        """
        side = self.spec.input_size
        if images.shape[1:] != (3, side, side):
            raise ValueError(
                f"{self.spec.name} takes [B, 3, {side}, {side}], got {[*images.shape]}"
            )
        requested = frozenset(taps or ())
        if unknown := requested - set(self.spec.taps):
            raise ValueError(
                f"{self.spec.name} has no tap {sorted(unknown)}, only {self.spec.taps}"
            )
        # The statistics of the checkpoint's own training.
        features, maps = self._run(self.net, (images - self.mean) / self.std, requested)
        if taps is None:
            return features
        return features, [maps[tap] for tap in taps]
