"""Atomic, durable writes: temporary name, fsync, rename, fsync of the folder."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from mimic_ray.base.errors import (
    DiskError,
    DiskFullError,
    MimicError,
    WrongFolderError,
    option,
)

_TEMPORARY = ".tmp-"


def write_bytes(path: Path, content: bytes) -> None:
    """Replaces `path` atomically: after a kill or a power failure it has the old or new content."""
    temporary = _temporary_beside(path)
    with disk_errors(path):
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            sync_folder(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_text(path: Path, content: str) -> None:
    write_bytes(path, content.encode())


def write_json(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, indent=2, default=str) + "\n")


def require_empty(folder: Path) -> Path:
    """`folder` if it is missing or empty. Call it before long work. Raises WrongFolderError."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise WrongFolderError(
            f"{folder} is not an empty folder: set {option('out')} to a new or empty one."
        )
    require_creatable(folder)
    return folder


def require_creatable(folder: Path) -> None:
    """Raises WrongFolderError if `folder` can neither be made nor be written to; leaves nothing."""
    try:
        above = next(path for path in (folder, *folder.parents) if path.exists())
        with disk_errors(folder / "x"):
            Path(mkdtemp(prefix=f".mimic-ray{_TEMPORARY}", dir=above)).rmdir()
    except OSError as error:
        raise WrongFolderError(
            f"{folder} cannot be created ({error.strerror}): set {option('out')} to another folder."
        ) from error


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yields a temporary folder that becomes `path` when the block ends, or is removed on error."""
    temporary = _temporary_beside(path)
    with disk_errors(path):
        try:
            temporary.mkdir(parents=True)
            yield temporary
            for file in sorted(temporary.rglob("*")):
                _sync(file)
            _sync(temporary)
            temporary.replace(path)
            sync_folder(path.parent)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


@contextmanager
def disk_errors(path: Path, advice: str = "") -> Iterator[None]:
    """Converts exceptions caused by a full or failing disk to DiskFullError or DiskError.

    `advice` says what to do next; it also replaces the advice of a DiskError raised inside.
    """
    try:
        yield
    except DiskError as error:
        if not advice:
            raise
        raise type(error)(error.problem, advice) from error
    except MimicError:
        raise
    except Exception as error:
        number = _disk_errno(error, path)
        # Name the folder of the user, not the temporary one, which is removed.
        folder = next(p for p in path.parents if _TEMPORARY not in p.name)
        if number in _FULL:
            raise DiskFullError(
                f"No space left on the disk of {folder}.",
                advice or "Free some space, then run the command again.",
            ) from error
        if number in _FAILED:
            raise DiskError(
                f"The disk of {folder} failed ({os.strerror(number)}).",
                advice or "Once it works again, run the command again.",
            ) from error
        raise


# Errors of a disk or of the connection to it. Missing files and permissions are user errors.
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FAILED = {
    *(errno.EIO, errno.EROFS, errno.ESTALE, errno.ENODEV, errno.ENXIO),
    *(errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ESHUTDOWN),
}


def _disk_errno(error: Exception, path: Path) -> int:
    """The errno, parsed from the message if a library keeps only text; 0 if there is none."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    if found := re.search(r"os error (\d+)", str(error)):  # Rust, as in safetensors
        return int(found[1])
    if "No space left" in str(error):
        return errno.ENOSPC
    # torch.save on a full disk raises a RuntimeError without errno: check the disk itself.
    if isinstance(error, RuntimeError) and "inline_container" in str(error):
        folder = next((p for p in (path.parent, *path.parents) if p.exists()), Path("/"))
        return errno.ENOSPC if shutil.disk_usage(folder).free < 1 << 20 else 0
    return 0


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_folder(path: Path) -> None:
    """Creates `path` and its parents durably. Existing folders are kept."""
    missing = [p for p in (path, *path.parents) if not p.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in reversed(missing):
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Makes renames in `folder` durable."""
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _temporary_beside(path: Path) -> Path:
    return path.with_name(f".{path.name}{_TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}")
