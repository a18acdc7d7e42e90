"""Every operation that changes a disk, counted, so that each can be the one at which it ends.

The method is SQLite's ("How SQLite is tested", I/O error and crash tests): a fault at the n-th
operation for n = 1, 2, 3 ... until none is left.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# What pathlib, shutil and tempfile come down to.
_CALLS = ("open", "fsync", "replace", "rename", "mkdir", "unlink", "rmdir", "truncate")


class FaultyDisk:
    """Counts operations below `root` and calls `fail()` at those that `due(number)` names.

    A write that fails has written half, unless `tears` is False, for a `fail` that returns and so
    lets the write happen. Reading is left alone, and so are files with `ignored` in their name.
    """

    def __init__(
        self,
        patch: pytest.MonkeyPatch,
        due: Callable[[int], bool],
        fail: Callable[[], Any],
        root: Path = Path("/"),
        ignored: str = "",
        tears: bool = True,
    ) -> None:
        self.ignored, self._tears = ignored, tears
        self.calls, self.due, self.fail = 0, due, fail
        self.names: list[str] = []
        self._root = root
        self._io_open = io.open
        for name in _CALLS:
            patch.setattr(os, name, self._counted(name, getattr(os, name)))
        patch.setattr(io, "open", self._open)

    def _check(self, name: str, path: Any, torn: Callable[[], Any] = lambda: None) -> None:
        if not self._is_below(path):
            return
        self.calls += 1
        self.names.append(name)
        if self.due(self.calls):
            if self._tears:
                torn()
            self.fail()

    def _is_below(self, path: Any) -> bool:
        where = path_of(path) if isinstance(path, int) else Path(os.fsdecode(path)).absolute()
        if self.ignored and self.ignored in where.name:
            return False
        return where.is_relative_to(self._root)

    def _counted(self, name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        def counted(path: Any, *args: Any, **options: Any) -> Any:
            where = path
            if options.get("dir_fd") is not None:  # as shutil.rmtree does it
                where = path_of(options["dir_fd"]) / os.fsdecode(path)
            self._check(name, where)
            return operation(path, *args, **options)

        return counted

    def _open(self, path: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
        if not {*mode} & {*"wax+"} or isinstance(path, int):
            return self._io_open(path, mode, *args, **options)
        self._check("open", path)
        file = self._io_open(path, mode, *args, **options)
        write = file.write

        def counted_write(content: Any) -> Any:
            def half() -> None:
                write(content[: len(content) // 2])
                file.flush()

            self._check("write", path, half)
            return write(content)

        file.write = counted_write
        return file


def path_of(descriptor: int) -> Path:
    """What an open file is called."""
    return Path(f"/proc/self/fd/{descriptor}").readlink()
