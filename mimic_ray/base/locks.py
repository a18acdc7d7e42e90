"""Locks between the processes of one machine. They end with whoever holds them, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Inside the block no other process is in a block of the same `path`, a file made for this.

    Where no lock can be had (a cache that cannot be written, a file system without locks) the
    block runs all the same: only work done twice is at stake.
    """
    descriptor = -1
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def hold_in_use(path: Path) -> int:
    """Says that what `path` stands for is in use, until the descriptor returned is closed.

    -1 where no lock can be had.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError:
        return -1
    try:
        # Waits for nobody but who is just removing it.
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    except OSError:
        os.close(descriptor)
        return -1
    return descriptor


def take(path: Path) -> int | None:
    """A descriptor that holds `path` alone until `give_back`; None if another holds it, -1 where no
    lock can be had."""
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # its folder was removed in between
            continue
        except OSError:
            return -1
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            return None if isinstance(error, BlockingIOError) else -1
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # the file of one that was giving it back


def give_back(path: Path, descriptor: int) -> None:
    """Ends a `take`, with the file that was made for it."""
    if descriptor >= 0:
        path.unlink(missing_ok=True)
        release(descriptor)


@contextmanager
def while_unused(path: Path) -> Iterator[bool]:
    """Whether no process, this one too, holds `path` in use; inside the block none can begin to."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except FileNotFoundError:  # no folder of locks: nobody ever held one
        yield True
        return
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)


def release(descriptor: int) -> None:
    if descriptor >= 0:
        with suppress(OSError):
            os.close(descriptor)
