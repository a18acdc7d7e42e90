"""The kind of a file by its type and first bytes, before anything parses it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from mimic_ray.base.errors import (
    MissingCheckpointError,
    NotACheckpointError,
    TooLargeCheckpointError,
)
from mimic_ray.base.hub_address import download_advice
from mimic_ray.base.text import plain
from mimic_ray.weight_files import foreign

SAFETENSORS, TORCH_ZIP, TORCH_LEGACY = "safetensors", "torch-zip", "torch-legacy"
TORCH_TAR, PICKLE = "torch-tar", "pickle"
NPZ, FLAX = "npz", "flax-msgpack"

# torch's magic number, as pickles of protocol 2 and later have it, and as text before that.
_LEGACY = b"\x8a\n" + 0x1950A86A20F9469CFC6C.to_bytes(10, "little")
# msgpack: a map of at least one entry, whose first key is a printable text.
_MSGPACK = re.compile(rb"(?:[\x81-\x8f]|\xde..|\xdf....)(?:[\xa1-\xbf]|\xd9.)[ -~]", re.DOTALL)
_OLD_LEGACY = b"L119547037146038801333356L\n"


@contextmanager
def opened(path: Path, limit_bytes: int) -> Iterator[BufferedReader]:
    """The regular file at `path`, opened for reading; anything else is refused.

    Raises MissingCheckpointError, NotACheckpointError (folder, pipe, device, empty) and
    TooLargeCheckpointError.
    """
    name = shown(path)
    try:
        # O_NONBLOCK, because opening a pipe would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        advice = download_advice(path) or "Check the path."
        raise MissingCheckpointError(f"There is no file {name}. {advice}") from None
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
        raise NotACheckpointError(f"{name} is a folder: give the weight file inside it.")
    if not stat.S_ISREG(found.st_mode):
        raise NotACheckpointError(f"{name} is a pipe or device: copy the weights to a file.")
    if found.st_size == 0:
        raise NotACheckpointError(f"{name} is empty: download or copy it again.")
    if found.st_size > limit_bytes:
        raise TooLargeCheckpointError(
            f"{name} has {found.st_size:,} bytes, over the limit of {limit_bytes:,}: save only "
            "the encoder's weights."
        )


def file_format(file: BufferedReader, name: str) -> str:
    """One of the formats above, independent of the suffix. Leaves `file` at 0.

    Any tar archive counts as TORCH_TAR and any pickle as PICKLE; their readers look further. Raises
    NotACheckpointError for anything else.
    """
    file.seek(0)
    head = file.read(512)
    file.seek(0)
    # A header length below 2^40, then the header. Only text could look like this, but text has no
    # zero bytes.
    if head[5:9] == b"\0\0\0{":
        return SAFETENSORS
    if head.startswith(b"PK"):
        # The name of the first record follows its header of 30 bytes.
        first = head[30 : 30 + int.from_bytes(head[26:28], "little")]
        return NPZ if first.endswith(b".npy") else TORCH_ZIP
    if head[:1] == b"\x80" and b"joblib.numpy_pickle" in head:
        raise NotACheckpointError(
            f"{name} is a pickle of joblib: take the weights out of it and save them with "
            "torch.save."
        )
    if head.startswith(_OLD_LEGACY):
        return TORCH_LEGACY
    if head[:1] == b"\x80" and head[1:2] <= b"\x05":
        return TORCH_LEGACY if _LEGACY in head[:32] else PICKLE
    if head[257:262] == b"ustar":
        return TORCH_TAR
    if _MSGPACK.match(head):
        return FLAX
    if known := foreign.by_start(head) or foreign.by_name(name):
        what, advice = known
        raise NotACheckpointError(f"{name} is {what}: {advice}.")
    raise NotACheckpointError(
        f"{name} is neither a safetensors nor a torch file (it starts with "
        f"{plain(head[:8], 60)}): give a file that torch.save or safetensors wrote."
    )


def shown(path: Path) -> str:
    """The path for a message; for a symlink also its target (caches of model hubs use links)."""
    try:
        target = f" -> {plain(path.resolve())}" if path.is_symlink() else ""
    except (OSError, RuntimeError, ValueError):  # a loop of links
        target = ""
    return plain(path) + target
