"""What a file is, by its type and first bytes, before anything parses it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from mimic_ray.base.errors import NotACheckpointError, TooLargeCheckpointError
from mimic_ray.base.text import plain

SAFETENSORS, TORCH_ZIP, TORCH_LEGACY = "safetensors", "torch-zip", "torch-legacy"

_AGAIN = "download it again and look at what the address answers"
_CONVERT = "save the network's state_dict() with torch.save or safetensors"

# First bytes of what people have in place of weights: what it is, and the way out.
_FOREIGN = (
    (b"version https://git-lfs", "a git-lfs pointer in place of the weights", "run `git lfs pull`"),
    (b"<", "a web page", _AGAIN),
    (b'{"error', "an error message of a server", _AGAIN),
    (b"{", "JSON text", "name the file that holds the weights themselves"),
    (b"\x1f\x8b", "a gzip file", "unpack it first"),
    (b"\x93NUMPY", "a numpy array", _CONVERT),
    (b"\x89HDF", "an HDF5 file", _CONVERT),
    (b"GGUF", "a GGUF file", _CONVERT),
)


@contextmanager
def opened(path: Path, limit_bytes: int) -> Iterator[BufferedReader]:
    """The regular file at `path`, opened for reading; everything else is refused at once.

    Raises NotACheckpointError (missing, folder, pipe, device, empty) and TooLargeCheckpointError.
    """
    name = shown(path)
    try:
        # O_NONBLOCK: opening a pipe that nobody writes to would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotACheckpointError(f"There is no file {name}: check the path.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise NotACheckpointError(f"{name} cannot be opened: {reason}.") from None
    try:
        _check_kind(os.fstat(descriptor), name, limit_bytes)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(descriptor)


def _check_kind(found: os.stat_result, name: str, limit_bytes: int) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise NotACheckpointError(f"{name} is a folder: name the weight file inside it.")
    if not stat.S_ISREG(found.st_mode):
        raise NotACheckpointError(f"{name} is a pipe or device: copy the weights to a file.")
    if found.st_size == 0:
        raise NotACheckpointError(f"{name} is empty: download or copy it again.")
    if found.st_size > limit_bytes:
        raise TooLargeCheckpointError(
            f"{name} has {found.st_size:,} bytes, over the limit of {limit_bytes:,}: save the "
            "encoder's weights alone."
        )


def file_format(file: BufferedReader, name: str) -> str:
    """SAFETENSORS, TORCH_ZIP or TORCH_LEGACY, whatever the suffix says. Leaves `file` at 0.

    A plain pickle counts as TORCH_LEGACY, since it is read (and refused) by the same rules.
    Raises NotACheckpointError for everything else.
    """
    file.seek(0)
    head = file.read(512)
    file.seek(0)
    # The length of a header, below 2^40, then the header. Only text could be mistaken for it, and
    # text has no zero bytes.
    if head[5:9] == b"\0\0\0{":
        return SAFETENSORS
    if head.startswith(b"PK"):
        return TORCH_ZIP
    # Protocol 0 and 1 pickles have no mark; torch writes 2.
    if head[:1] == b"\x80" and head[1:2] <= b"\x05":
        return TORCH_LEGACY
    if head[257:262] == b"ustar":
        raise NotACheckpointError(
            f"{name} is a tar archive: unpack it; if it is a checkpoint of torch before 0.1.10, "
            "re-save its weights with a later torch."
        )
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for start, what, way_out in _FOREIGN:
        if text.startswith(start):
            raise NotACheckpointError(f"{name} is {what}: {way_out}.")
    raise NotACheckpointError(
        f"{name} is neither a safetensors nor a torch file (it starts with "
        f"{plain(head[:8], 60)}): name the file that torch.save or safetensors wrote."
    )


def shown(path: Path) -> str:
    """The path for a message; a symlink with what it points to (caches of model hubs are links)."""
    try:
        target = f" -> {plain(path.resolve())}" if path.is_symlink() else ""
    except (OSError, RuntimeError, ValueError):  # a loop of links
        target = ""
    return plain(path) + target
