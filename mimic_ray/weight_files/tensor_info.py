"""Shape and type of a tensor in a weight file. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class TensorInfo:
    """Shape and type of one tensor; `dtype` as in "float32", or "sparse float32" if not plain."""

    shape: tuple[int, ...]
    dtype: str
    not_finite: int = 0  # values that are NaN or infinity
    memory: str = ""  # equal for tensors that share their memory; "" if unknown

    @property
    def is_float(self) -> bool:
        return self.dtype.startswith(("float", "bfloat"))

    @property
    def is_plain(self) -> bool:
        """Whether it is dense and can be read."""
        return " " not in self.dtype

    @property
    def numbers(self) -> int:
        return math.prod(self.shape)


TensorInfos = Mapping[str, TensorInfo]


def infos(tensors: Mapping[str, Tensor]) -> dict[str, TensorInfo]:
    """Shapes and types of a state dict."""
    return {
        key: TensorInfo(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
        for key, tensor in tensors.items()
    }


def not_finite_message(name: str, key: str, wrong: int, numbers: int) -> str:
    return (
        f'{name}: "{key}" has NaN or infinity in {wrong:,} of {numbers:,} values. '
        "Use an earlier checkpoint of the same network."
    )
