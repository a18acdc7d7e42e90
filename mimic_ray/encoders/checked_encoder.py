"""The encoder that `load_encoder` returns: it refuses images that would give meaningless features.

The method's own loop calls `Encoder` without these checks, because its images come from this
package.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import torch
from torch import Tensor

from mimic_ray.base.argument_types import type_name
from mimic_ray.base.errors import DataError, UnknownNameError, UsageError, option
from mimic_ray.base.text import near_names, plain
from mimic_ray.encoders.encoder import Encoder

# Rounding in half precision and in resampling exceeds [0, 1] by less.
_TOLERANCE = 0.01


class CheckedEncoder(Encoder):
    """An encoder that checks type, shape and values of its images, and the names of taps.

    torch.compile, export and tracing leave the checks out. The values are read, which waits for the
    device, only in eval mode and for images without a gradient; training and attacks on images run
    at full speed.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder.spec, encoder.net, encoder._run)
        self.train(encoder.training)

    @overload
    def forward(self, images: Tensor, taps: None = None) -> Tensor: ...
    @overload
    def forward(self, images: Tensor, taps: Sequence[str]) -> tuple[Tensor, list[Tensor]]: ...
    def forward(
        self, images: Tensor, taps: Sequence[str] | None = None
    ) -> Tensor | tuple[Tensor, list[Tensor]]:
        """As `Encoder.forward`.

        Raises DataError for other images than float [B, 3, S, S] with values in [0, 1], and
        UsageError for invalid taps.
        """
        if not (torch.compiler.is_compiling() or torch.jit.is_tracing()):  # type: ignore[attr-defined]
            self._check_images(images)
            self._check_taps(taps)
        return super().forward(images, taps)

    def _check_images(self, images: object) -> None:
        side = self.spec.input_size
        if not isinstance(images, Tensor):
            raise self._refusal(f"type {type_name(type(images))}")
        if not images.is_floating_point():
            advice = "use images.float() / 255" if images.dtype == torch.uint8 else ""
            raise self._refusal(f"{images.dtype} {[*images.shape]}", advice)
        if images.ndim != 4 or images.shape[1:] != (3, side, side):
            raise self._refusal(f"shape {[*images.shape]}")
        own = self.mean.dtype
        fits = torch.promote_types(images.dtype, own) == own
        if not fits and not torch.is_autocast_enabled(images.device.type):
            raise self._refusal(f"{images.dtype}", f"use images.to({own})")
        if values := self._wrong_values(images):
            advice = "divide values up to 255 by 255, and leave normalisation to the encoder"
            raise self._refusal(values, advice)

    def _wrong_values(self, images: Tensor) -> str:
        """The values in words if they are not in [0, 1], else ""."""
        capturing = images.is_cuda and torch.cuda.is_current_stream_capturing()
        if self.training or images.requires_grad or capturing or not images.numel():
            return ""
        try:
            low, high = torch.stack(torch.aminmax(images)).tolist()
        except RuntimeError:  # tensors without values: on the meta device, or inside vmap
            return ""
        if low >= -_TOLERANCE and high <= 1 + _TOLERANCE:
            return ""
        return "NaN" if low != low else f"values from {low:.4g} to {high:.4g}"

    def _check_taps(self, taps: Sequence[str] | None) -> None:
        known = self.spec.taps
        if isinstance(taps, str):
            raise UsageError(f"Invalid {option('taps', repr(taps))}: give a list of names.")
        for tap in taps or ():
            if tap not in known:
                hint = f"{plain(self.spec.name)} has {', '.join(known)}."
                raise UnknownNameError("tap", plain(tap), near_names(str(tap), known), hint)

    def _refusal(self, found: str, advice: str = "") -> DataError:
        side = self.spec.input_size
        return DataError(
            f"{plain(self.spec.name)} got images of {found}; it takes a float tensor "
            f"[N, 3, {side}, {side}] with values in [0, 1]{': ' + advice if advice else ''}."
        )
