"""Named arrays of an archive as tensors with the names of torch, and back.

The keys of a vision transformer of Flax become those of timm's network (flax_vit.py), those of any
other network of Flax the names that the same network has in torch (flax_names.py); an archive of
something else keeps its own names.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import torch
from torch import Tensor

from mimic_ray.base.errors import DamagedCheckpointError
from mimic_ray.base.text import plain
from mimic_ray.weight_files import flax_names, flax_vit
from mimic_ray.weight_files.flax_vit import Array, Piece
from mimic_ray.weight_files.tensors import replacement

# How numpy shows bfloat16, which it has no type for.
BFLOAT16 = np.dtype("V2")


def as_tensors(arrays: Mapping[str, Array], name: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The arrays of the file called `name` by the names of torch, and notes on their layout.

    Raises DamagedCheckpointError for shapes that no network has.
    """
    tensors: dict[str, Tensor] = {}
    try:
        found, notes = _pieces(arrays)
        for key, piece in found.items():
            tensors[key] = _tensor(flax_vit.gathered(arrays, piece))
    except (ValueError, IndexError, TypeError) as error:
        raise DamagedCheckpointError(
            f"{name} is damaged (shapes that no network has: {plain(error, 80)}): download or copy "
            "it again."
        ) from error
    used = {source for piece in found.values() for source in piece.sources}
    return tensors | {
        key: _tensor(array) for key, array in arrays.items() if key not in used
    }, notes


def replaced(
    arrays: Mapping[str, Array], name: str, new: Mapping[str, Tensor], resized: Collection[str]
) -> tuple[dict[str, Array], set[str]]:
    """The arrays that change if tensors, by the names of torch, are replaced; and the names found.

    Raises DamagedCheckpointError if the file has changed since it was read.
    """
    changed = dict(arrays)
    found, _ = _pieces(arrays)
    sources: set[str] = set()
    written = set()
    for key, tensor in new.items():
        piece = found.get(key)
        if piece is None and key not in arrays:
            continue
        old = _tensor(flax_vit.gathered(arrays, piece) if piece else arrays[key])
        value = _array(replacement(old, tensor, plain(key), name, key in resized))
        if piece:
            flax_vit.scattered(changed, piece, value)
        else:
            changed[key] = value
        sources.update(piece.sources if piece else (key,))
        written.add(key)
    return {source: changed[source] for source in sources}, written


def _pieces(arrays: Mapping[str, Array]) -> tuple[dict[str, Piece], dict[str, str]]:
    """Where the tensors with other names are, and what to say of it."""
    if found := flax_vit.pieces(arrays):
        notes = {"layout": "a vision transformer of Flax (JAX), with timm's names"}
        if number := flax_vit.heads(arrays, found):
            notes["num_heads"] = str(number)
        return found, notes
    if found := flax_names.pieces(arrays):
        return found, {"layout": "a network of Flax (JAX), with the names that torch has"}
    return {}, {}


def _tensor(array: Array) -> Tensor:
    own = np.array(array, order="C")  # a copy; ascontiguousarray() makes a number a list of one
    if own.dtype == BFLOAT16:
        return torch.from_numpy(own.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(own)


def _array(tensor: Tensor) -> Array:
    if tensor.dtype == torch.bfloat16:
        return tensor.contiguous().view(torch.int16).numpy().view(BFLOAT16)
    return tensor.contiguous().numpy()
