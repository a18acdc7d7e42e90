"""How one weight of ours is made of the tensors in a file, and goes back to them bit for bit.

The queries, keys and values of attention may be three tensors in the file and one of ours, or the
reverse. Imports no torch: see layout.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mimic_ray.weight_files.publisher_keys import ROW, SAME, TRANSPOSED

if TYPE_CHECKING:
    from torch import Tensor

    from mimic_ray.weight_files.tensor_info import TensorInfo, TensorInfos


@dataclass(frozen=True)
class StoredWeight:
    """The tensors of the file that hold one weight of ours.

    Attributes:
        keys: Their full keys in the group; they are joined along the first dimension.
        rows: The lengths of their first dimensions.
        form: How the joined tensor becomes ours, as in publisher_keys.py.
        thirds: The part of the first dimension that is ours.
        shapes: Ours and the file's, where they differ in dimensions of length 1.
    """

    keys: tuple[str, ...]
    rows: tuple[int, ...] = ()
    form: str = SAME
    thirds: tuple[int, int] = (0, 3)
    shapes: tuple[tuple[int, ...], tuple[int, ...]] | None = None

    @property
    def is_part(self) -> bool:
        """Whether the file's tensor also holds other weights."""
        return self.thirds != (0, 3)

    def info(self, tensors: TensorInfos) -> TensorInfo:
        """Shape and type of our weight; of one of the parts if they cannot be joined."""
        found = [tensors[key] for key in self.keys]
        first = found[0]
        for part in found:
            if part.shape[1:] != first.shape[1:] or not part.shape or not part.is_float:
                return part
        rows = sum(part.shape[0] for part in found)
        within = self._within(rows)
        shape = (within.stop - within.start, *first.shape[1:])
        if self.form == ROW:
            shape = (1, *shape)
        elif self.form == TRANSPOSED:
            shape = shape[::-1]
        return replace(first, shape=shape)

    def read(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Our weight."""
        import torch

        if self.shapes:
            return tensors[self.keys[0]].reshape(self.shapes[0])
        parts = [tensors[key] for key in self.keys]
        whole = parts[0] if len(parts) == 1 else torch.cat(parts)
        if self.is_part:
            whole = whole[self._within(len(whole))]
        if self.form == ROW:
            return whole[None]
        return whole.T if self.form == TRANSPOSED else whole

    def write(self, weight: Tensor, shared: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of the file with our `weight` in them, by their keys.

        `shared` has those that also hold other weights.
        """
        if self.shapes:
            weight = weight.reshape(self.shapes[1])
        elif self.form == ROW:
            weight = weight[0]
        elif self.form == TRANSPOSED:
            weight = weight.T
        if self.is_part:
            (key,) = self.keys
            changed = shared[key].clone()
            changed[self._within(len(changed))] = weight.to(changed)
            return {key: changed}
        if len(self.keys) == 1:
            return {self.keys[0]: weight}
        return dict(zip(self.keys, weight.split(self.rows), strict=True))

    def _within(self, length: int) -> slice:
        first, end = self.thirds
        return slice(length * first // 3, length * end // 3)
