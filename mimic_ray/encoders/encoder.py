"""The one interface of every encoder: image -> feature, with named taps read in the same forward.

Shapes: B images, S input side in pixels, D feature width, C channels, H x W positions of a map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import overload

import torch
from torch import Tensor, nn

# What a family supplies: (net, normalised images, wanted taps) -> (features [B, D], maps by name).
Run = Callable[[nn.Module, Tensor, frozenset[str]], tuple[Tensor, dict[str, Tensor]]]


@dataclass(frozen=True)
class Spec:
    """What is known of an encoder before it has weights."""

    name: str
    feature_width: int
    input_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    taps: tuple[str, ...]


class Encoder(nn.Module):
    """A network image -> feature vector; never its classifier head or projector.

    `net` holds the weights under the family's plain key names. Nothing is hooked: a family's `run`
    computes features and maps in one forward.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, spec: Spec, net: nn.Module, run: Run) -> None:
        super().__init__()
        self.spec = spec
        self.net = net
        self._run = run
        self.register_buffer("mean", torch.tensor(spec.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(spec.std).view(1, 3, 1, 1), persistent=False)

    @overload
    def forward(self, images: Tensor, taps: None = None) -> Tensor: ...
    @overload
    def forward(self, images: Tensor, taps: Sequence[str]) -> tuple[Tensor, list[Tensor]]: ...
    def forward(
        self, images: Tensor, taps: Sequence[str] | None = None
    ) -> Tensor | tuple[Tensor, list[Tensor]]:
        """Images [B, 3, S, S] with values in [0, 1] -> features [B, D], not normalised.

        With `taps`, also the maps [B, C, H, W] of the named taps, in the order asked for.
        Raises ValueError for another image size or an unknown tap.
        """
        side = self.spec.input_size
        if images.shape[1:] != (3, side, side):
            raise ValueError(
                f"{self.spec.name} takes [B, 3, {side}, {side}], got {[*images.shape]}"
            )
        wanted = frozenset(taps or ())
        if unknown := wanted - set(self.spec.taps):
            raise ValueError(
                f"{self.spec.name} has no tap {sorted(unknown)}, only {self.spec.taps}"
            )
        # The checkpoint's own statistics: what the network saw in its own training.
        features, maps = self._run(self.net, (images - self.mean) / self.std, wanted)
        if taps is None:
            return features
        return features, [maps[tap] for tap in taps]
