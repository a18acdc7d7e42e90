"""A disk that forgets, at a power cut, what was not synced: a double of what a cache may do.

Every operation is done for real and noted here. At a cut a file has what its last fsync made
certain, and of what came after any prefix or any pages of 4 KiB; a folder has the names that its
own last fsync made certain, and of the changes after it the first few.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.store.faulty_disk import path_of

PAGE = 4096


@dataclass
class File:
    now: bytes = b""
    certain: bytes = b""

    def sync(self) -> None:
        self.certain = self.now

    def restore(self, path: Path, chance: Random) -> None:
        path.write_bytes(self._after_cut(chance))

    def _after_cut(self, chance: Random) -> bytes:
        if self.now == self.certain:
            return self.now
        kind = chance.choice(("certain", "now", "prefix", "pages"))
        if kind == "prefix":
            # What was synced and only added to stays.
            least = len(self.certain) if self.now.startswith(self.certain) else 0
            return self.now[: chance.randint(least, len(self.now))]
        if kind == "pages":
            zeros = bytes(max(0, len(self.now) - len(self.certain)))
            before = (self.certain + zeros)[: len(self.now)]
            starts = range(0, len(self.now), PAGE)
            sides = [chance.choice((before, self.now))[at : at + PAGE] for at in starts]
            return b"".join(sides)
        return self.certain if kind == "certain" else self.now


@dataclass
class Folder:
    now: dict[str, Any] = field(default_factory=dict)
    certain: dict[str, Any] = field(default_factory=dict)
    changes: list[dict[str, Any]] = field(default_factory=list)  # name -> what it is now, or None

    def change(self, names: dict[str, Any]) -> None:
        self.changes.append(names)
        _apply(self.now, names)

    def sync(self) -> None:
        self.certain, self.changes = dict(self.now), []

    def restore(self, path: Path, chance: Random) -> None:
        names = dict(self.certain)
        for change in self.changes[: chance.randrange(len(self.changes) + 1)]:
            _apply(names, change)
        path.mkdir()
        for name, node in names.items():
            node.restore(path / name, chance)


def _apply(names: dict[str, Any], change: dict[str, Any]) -> None:
    for name, node in change.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


@dataclass
class Moment:
    """The disk after an operation, and the step that commit had promised by then."""

    name: str
    tree: Folder
    promised: int


class LossyDisk:
    """Notes what happens below `root`. `honours(path)` says whether an fsync of it does anything:
    with a disk that lies the tests must fail."""

    def __init__(
        self,
        patch: pytest.MonkeyPatch,
        root: Path,
        honours: Callable[[Path], bool] = lambda path: True,
    ) -> None:
        self.root, self.honours = root, honours
        self.tree, self.promised = Folder(), 0
        self.moments: list[Moment] = []
        self._io_open = io.open
        for name in ("fsync", "replace", "rename", "mkdir", "unlink", "rmdir"):
            patch.setattr(os, name, self._noted(name, getattr(os, name)))
        patch.setattr(io, "open", self._open)

    def _noted(self, name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        def noted(path: Any, *args: Any, **options: Any) -> Any:
            if isinstance(path, int):
                where = path_of(path)
            elif options.get("dir_fd") is not None:
                where = path_of(options["dir_fd"]) / os.fsdecode(path)
            else:
                where = Path(os.fsdecode(path)).absolute()
            found = operation(path, *args, **options)
            if where.is_relative_to(self.root):
                getattr(self, f"_{name}")(where, *args)
                self._note(f"{name} {where.name}")
            return found

        return noted

    def _note(self, name: str) -> None:
        self.moments.append(Moment(name, deepcopy(self.tree), self.promised))

    def _at(self, path: Path) -> Any:
        node: Any = self.tree
        for part in path.relative_to(self.root).parts:
            node = node.now[part]
        return node

    def _fsync(self, path: Path) -> None:
        if self.honours(path):
            self._at(path).sync()

    def _replace(self, path: Path, target: Any) -> None:
        moved = Path(target)
        assert moved.parent == path.parent  # one folder knows both names at once
        self._at(path.parent).change({path.name: None, moved.name: self._at(path)})

    _rename = _replace

    def _mkdir(self, path: Path, *mode: Any) -> None:  # noqa: ARG002 - as os.mkdir has it
        self._at(path.parent).change({path.name: Folder()})

    def _unlink(self, path: Path) -> None:
        self._at(path.parent).change({path.name: None})

    _rmdir = _unlink

    def _written(self, path: Path) -> None:
        names = self._at(path.parent)
        if path.name not in names.now:
            names.change({path.name: File()})
        names.now[path.name].now = path.read_bytes()
        self._note(f"write {path.name}")

    def _open(self, path: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
        file = self._io_open(path, mode, *args, **options)
        if not {*mode} & {*"wax+"} or not Path(path).is_relative_to(self.root):
            return file
        self._written(Path(path))
        write = file.write

        def noted_write(content: Any) -> Any:
            done = write(content)
            file.flush()
            self._written(Path(path))
            return done

        file.write = noted_write
        return file
