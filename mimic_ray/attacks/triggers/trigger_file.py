"""Trigger files as BadEncoder writes them (jinyuan-jia/BadEncoder, `trigger/*.npz`).

    tm    [1, H, W, 3]  what stays of the image: 1 keep, 0 replace, or a share between
    t     [1, H, W, 3]  what is added, values 0..255

Also seen and read: without the leading axis, and several triggers in one file, of which the first
is taken. Nothing is unpickled, and no more is unpacked than the declared shape of one size allows.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mimic_ray.base.errors import DataError, MissingDataError, UsageError
from mimic_ray.base.files import write_bytes
from mimic_ray.base.text import plain

# Enough for ten triggers of 224 pixels in float64; a hostile file declares gigabytes.
_LARGEST_ARRAY_BYTES = 64 << 20


def read_pattern(path: Path, side: int) -> tuple[Tensor, Tensor]:
    """Mask and addend, float32 [3, side, side] with values in [0, 1].

    Raises UsageError when the file is for another image size, DataError when it is missing or holds
    no trigger.
    """
    if not path.is_file():
        raise MissingDataError(f"Trigger file {plain(path)} does not exist.")
    try:
        with zipfile.ZipFile(path) as archive:
            mask, add = (_read_array(archive, path, name, side) for name in ("tm", "t"))
    except (zipfile.BadZipFile, zlib.error, ValueError, OSError, EOFError, RuntimeError) as error:
        raise DataError(f"{plain(path)} is not a readable npz file: {plain(error)}.") from error
    if not (np.isfinite(mask).all() and np.isfinite(add).all()):
        raise DataError(f"The trigger in {plain(path)} has values that are not finite.")
    if mask.min() < 0 or mask.max() > 1:
        raise DataError(f'"tm" in {plain(path)} must lie in 0..1, it reaches {mask.max():g}.')
    return _planes(mask), _planes(add / 255)


def write_pattern(path: Path, mask: Tensor, add: Tensor, name: str) -> None:
    """The inverse of `read_pattern`; whole values get the types that BadEncoder's code writes."""
    keep = mask.permute(1, 2, 0)[None].double().numpy()
    if np.isin(keep, (0, 1)).all():
        keep = keep.astype(np.int64)
    # float32 cannot say k/255: back to the whole level that it stands for.
    levels = (255 * add.double()).permute(1, 2, 0)[None].numpy()
    whole = np.round(levels)
    levels = np.where(np.abs(levels - whole) < 1e-4, whole, levels)
    content = io.BytesIO()
    np.savez_compressed(content, t=levels, tm=keep, info=np.array([name]))
    write_bytes(path, content.getvalue())


def _read_array(archive: zipfile.ZipFile, path: Path, name: str, side: int) -> Any:
    """float64 [side, side, 3], the first trigger of the file."""
    try:
        member = archive.open(f"{name}.npy")
    except KeyError:
        raise DataError(
            f'{plain(path)} has no "{name}": a trigger file holds "t" and "tm".'
        ) from None
    with member:
        version = np.lib.format.read_magic(member)
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(member)
        else:
            shape, _, dtype = np.lib.format.read_array_header_2_0(member)
    if dtype.kind not in "buif":
        raise DataError(f'"{name}" in {plain(path)} holds {dtype}, not numbers.')
    if len(shape) not in (3, 4) or shape[-1] != 3 or 0 in shape:
        raise DataError(f'"{name}" in {plain(path)} is {[*shape]}, not [1, H, W, 3].')
    if shape[-3:-1] != (side, side):
        raise UsageError(
            f"The trigger {plain(path)} is for images of {shape[-3]}x{shape[-2]} pixels, the "
            f"encoder takes {side}x{side}: choose a trigger file of that size."
        )
    if int(np.prod(shape, dtype=object)) * dtype.itemsize > _LARGEST_ARRAY_BYTES:
        raise DataError(
            f'"{name}" in {plain(path)} claims {shape[0]:,} triggers: too many to read.'
        )
    with archive.open(f"{name}.npy") as member:
        array = np.lib.format.read_array(member, allow_pickle=False)
    return np.asarray(array.reshape(-1, side, side, 3)[0], dtype=np.float64)


def _planes(array: Any) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1))).to(torch.float32)
