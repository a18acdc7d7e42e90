"""The bytes of the storages in a torch file, by position, with bounds checked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimic_ray.weight_files.inert import ITEM_BYTES, StorageRef, TensorRef
from mimic_ray.weight_files.pickle_machine import PickleError

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Storages:
    """`spans`: first byte and number of bytes of each storage in the file `descriptor`."""

    descriptor: int
    spans: Mapping[str, tuple[int, int]]

    def check(self, storages: Mapping[str, StorageRef]) -> None:
        """Raises PickleError if the file lacks one of these, or has it in another size."""
        for key, storage in storages.items():
            _start, length = self.spans.get(key, (0, -1))
            if length != storage.total:
                found = f"{length:,} bytes" if length >= 0 else "missing"
                raise PickleError(
                    f'the storage "{key}" of {storage.total:,} bytes is {found} in the file'
                )

    def read(self, storage: StorageRef) -> Bytes:
        """The whole storage, as a writable array of bytes."""
        if storage.content is not None:
            return np.frombuffer(storage.content, np.uint8).copy()
        start, length = self.spans[storage.key]
        content = np.empty(length, np.uint8)
        view, done = content.data, 0
        while done < length:
            number = os.preadv(self.descriptor, [view[done : done + (1 << 30)]], start + done)
            if number == 0:
                raise PickleError(f'the storage "{storage.key}" ends early')
            done += number
        return content


def elements(ref: TensorRef, storage: Bytes) -> NDArray[np.unsignedinteger]:
    """The tensor as a view of its whole storage: its shape, with items as unsigned integers."""
    assert ref.storage is not None
    size = ITEM_BYTES[ref.dtype]
    start = ref.storage.start + ref.offset * size
    if 0 in ref.shape:
        return np.empty(ref.shape, f"u{size}")
    last = sum((n - 1) * step for n, step in zip(ref.shape, ref.stride, strict=True))
    span = storage[start : start + (last + 1) * size].view(f"u{size}")
    strides = [step * size for step in ref.stride]
    return np.lib.stride_tricks.as_strided(span, ref.shape, strides)
