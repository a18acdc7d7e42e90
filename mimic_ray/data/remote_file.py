"""Reads a file in object storage sequentially, prefetching large blocks."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import BinaryIO, cast

from mimic_ray.base.storage import Storage

# Large enough to hide the latency of a request (10 to 50 ms), small enough for memory.
_BLOCK_BYTES = 8 << 20
_AHEAD = 3


@contextmanager
def sequential(storage: Storage, name: str, size: int) -> Iterator[BinaryIO]:
    """The file, buffered. Seeking back by more than a block fetches that block again.

    Reading raises StorageError.
    """
    with ThreadPoolExecutor(_AHEAD + 1) as pool:
        file = _Blocks(storage, name, size, pool)
        try:
            # Tar headers are read 512 bytes at a time.
            with io.BufferedReader(file, 64 << 10) as buffered:
                yield cast(BinaryIO, buffered)
        finally:
            file.cancel()


class _Blocks(io.RawIOBase):
    def __init__(self, storage: Storage, name: str, size: int, pool: ThreadPoolExecutor) -> None:
        self._storage, self._name, self._size, self._pool = storage, name, size, pool
        self._position = 0
        self._blocks: dict[int, Future[bytes]] = {}

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._position >= self._size:
            return 0
        number, start = divmod(self._position, _BLOCK_BYTES)
        part = self._block(number)[start : start + len(buffer)]
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)

    def cancel(self) -> None:
        for future in self._blocks.values():
            future.cancel()

    def _block(self, number: int) -> bytes:
        last = (self._size - 1) // _BLOCK_BYTES
        needed = range(number, min(number + _AHEAD, last) + 1)
        for old in set(self._blocks) - {number - 1, *needed}:
            self._blocks.pop(old).cancel()
        for new in needed:
            if new not in self._blocks:
                start = new * _BLOCK_BYTES
                self._blocks[new] = self._pool.submit(
                    self._storage.read_range, self._name, start, _BLOCK_BYTES
                )
        return self._blocks[number].result()
