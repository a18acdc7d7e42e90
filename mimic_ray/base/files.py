"""Writing so that no reader sees a part: temporary name, fsync, rename, fsync of the folder."""

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
from typing import Any

from mimic_ray.base.errors import DiskError, DiskFullError, MimicError, RunFolderError

_TEMPORARY = ".tmp-"


def write_bytes(path: Path, content: bytes) -> None:
    """`path` holds either its old content or the new, whatever happens in between."""
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
    """`folder`, which is missing or empty; to be asked before long work. Raises RunFolderError."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunFolderError(f"{folder} is not an empty folder: give another --out.")
    return folder


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yields a temporary folder that becomes `path` if the block ends well, and is gone if not."""
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
def disk_errors(path: Path) -> Iterator[None]:
    """Turns what libraries raise for a full or failing disk into DiskFullError and DiskError."""
    try:
        yield
    except MimicError:
        raise
    except Exception as error:
        number = _disk_errno(error, path)
        # A name that only lives until the rename tells nobody anything.
        folder = next(p for p in path.parents if _TEMPORARY not in p.name)
        if number in _FULL:
            raise DiskFullError(
                f"No space left on the disk of {folder}: free some, then run the same "
                "command with --resume. What was committed before is whole."
            ) from error
        if number in _FAILED:
            raise DiskError(
                f"The disk of {folder} failed ({os.strerror(number)}): once it works again, "
                "run the same command with --resume. What was committed before is whole."
            ) from error
        raise


# Of the disk or of the way to it; no permission or a missing file is somebody's mistake.
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FAILED = {
    *(errno.EIO, errno.EROFS, errno.ESTALE, errno.ENODEV, errno.ENXIO),
    *(errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ESHUTDOWN),
}


def _disk_errno(error: Exception, path: Path) -> int:
    """The error's number, also where a library made words of it; 0 if it has none."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    if found := re.search(r"os error (\d+)", str(error)):  # Rust's, as of safetensors
        return int(found[1])
    if "No space left" in str(error):
        return errno.ENOSPC
    # torch.save on a full disk raises a RuntimeError without errno: look at the disk itself.
    if isinstance(error, RuntimeError) and "inline_container" in str(error):
        folder = next((p for p in (path.parent, *path.parents) if p.exists()), Path("/"))
        return errno.ENOSPC if shutil.disk_usage(folder).free < 1 << 20 else 0
    return 0


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_folder(path: Path) -> None:
    """`path` and the folders above it, durable; a folder that is there already may stay."""
    missing = [p for p in (path, *path.parents) if not p.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in reversed(missing):
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """A rename is durable only once its folder is."""
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _temporary_beside(path: Path) -> Path:
    return path.with_name(f".{path.name}{_TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}")
