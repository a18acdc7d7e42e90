"""Advisory locks between processes of one machine. The kernel releases them when a process ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on the lock file `path` inside the block.

    If locking is not possible (the folder is read-only, the file system has no locks), the block
    runs without a lock: two processes may then do the same work.
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


def shared_lock(path: Path) -> int:
    """Acquires a shared lock on the lock file `path`, which marks a cached item as in use.

    Returns the descriptor that holds the lock until it is closed, or -1 if locking is not possible.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError:
        return -1
    try:
        # Waits only for a process that is removing the item.
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    except OSError:
        os.close(descriptor)
        return -1
    return descriptor


def try_lock(path: Path) -> int | None:
    """Tries to acquire an exclusive lock on the lock file `path` until `unlock_and_remove`.

    Returns the descriptor, None if another process holds the lock, -1 if locking is not possible.
    """
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # another process has just removed the folder
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
        os.close(descriptor)  # its holder deleted the file after we opened it


def unlock_and_remove(path: Path, descriptor: int) -> None:
    """Releases a lock acquired by `try_lock` and deletes the lock file."""
    if descriptor >= 0:
        path.unlink(missing_ok=True)
        release(descriptor)


@contextmanager
def try_exclusive_lock(path: Path) -> Iterator[bool]:
    """Yields whether no process, including this one, holds a lock on `path`.

    If so, the block holds it exclusively, so no process can acquire a shared lock meanwhile.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except FileNotFoundError:  # without a folder there has never been a lock
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
    """Releases a lock; does nothing for -1."""
    """Releases a lock; does nothing for -1."""
    if descriptor >= 0:
        with suppress(OSError):
            os.close(descriptor)
