"""The interface of decoded images for distillation, profile and evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class DecodedImages(Protocol):
    """Square images of P pixels by index, for example `data.decoded_set.Pixels`."""

    def __len__(self) -> int: ...

    def gather(self, indices: Tensor) -> Tensor:
        """int64 [B] -> uint8 [B, 3, P, P], a copy on the CPU."""
        ...


class IdentifiedImages(DecodedImages, Protocol):
    """Decoded images with the identity of their set."""

    @property
    def fingerprint(self) -> str:
        """Equal for equal sets of images."""
        ...

    @property
    def broken(self) -> list[tuple[str, str]]:
        """Name and reason of each image that could not be decoded."""
        ...
