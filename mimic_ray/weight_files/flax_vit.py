"""Names and shapes of vision transformers in Flax, as timm's network has them, and back.

The layouts of google-research/vision_transformer (augreg, ViT-B_16.npz) and big_vision (SigLIP):

    Transformer/encoderblock_3/MultiHeadDotProductAttention_1/query/kernel [D, heads, D / heads]
    -> blocks.3.attn.qkv.weight [3 D, D]

A dense kernel is [in, out] there and [out, in] in torch, a convolution [H, W, in, out] and
[out, in, H, W]; one array may hold all blocks, [depth, ...]. Values are moved, never changed.
Nothing here reads a file: arrays come in and tensors go out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_BLOCK = re.compile(r"(?P<before>.*?)encoderblock(?:_(?P<number>\d{1,4}))?/(?P<rest>.+)")
_MOST_BLOCKS = 1024
# Parts of a block, whose numbers differ between the publishers: kind -> names in order.
_ATTENTION = r"MultiHeadDotProductAttention\w*_\d"
_NORM, _MLP = r"LayerNorm_\d", r"MlpBlock_\d"
# Outside of the blocks: the end of a key -> timm's name.
_OUTER = {
    "cls": "cls_token",
    "embedding/kernel": "patch_embed.proj.weight",
    "embedding/bias": "patch_embed.proj.bias",
    "pos_embedding": "pos_embed",
    "posembed_input/pos_embedding": "pos_embed",
    "posembed_encoder/pos_embedding": "pos_embed",
    "encoder_norm/scale": "norm.weight",
    "encoder_norm/bias": "norm.bias",
    "head/kernel": "head.weight",
    "head/bias": "head.bias",
    "pre_logits/kernel": "pre_logits.fc.weight",
    "pre_logits/bias": "pre_logits.fc.bias",
}
_QKV = ("query", "key", "value")


@dataclass(frozen=True)
class Piece:
    """Where a tensor of timm is: one array, or several to be joined along the first axis."""

    sources: tuple[str, ...]
    kind: str  # a key of _MOVES
    layer: int | None = None  # the index in arrays that hold all blocks


@dataclass(frozen=True)
class _Move:
    """How one array becomes a tensor, and how a tensor becomes an array of `shape`."""

    forward: Callable[[Array], Array]
    back: Callable[[Array, tuple[int, ...]], Array]


_MOVES = {
    "same": _Move(lambda a: a, lambda t, shape: t.reshape(shape)),
    "flat": _Move(lambda a: a.reshape(-1), lambda t, shape: t.reshape(shape)),  # bias of heads
    "dense": _Move(lambda a: a.T, lambda t, _: t.T),
    "conv": _Move(lambda a: a.transpose(3, 2, 0, 1), lambda t, _: t.transpose(2, 3, 1, 0)),
    # [D, heads, d] -> [heads d, D], and for the output [heads, d, D] -> [D, heads d]
    "heads": _Move(lambda a: a.reshape(a.shape[0], -1).T, lambda t, shape: t.T.reshape(shape)),
    "out": _Move(lambda a: a.reshape(-1, a.shape[-1]).T, lambda t, shape: t.T.reshape(shape)),
}


def pieces(arrays: Mapping[str, Array]) -> dict[str, Piece]:
    """timm's names -> where their values are; {} if this is not a vision transformer of Flax.

    Arrays that belong to no name, such as a text tower's, are not among them. Raises ValueError,
    TypeError or IndexError for shapes that no transformer has.
    """
    has_blocks = any("encoderblock" in key for key in arrays)
    if not has_blocks or not any(key.endswith("embedding/kernel") for key in arrays):
        return {}
    root = _root(arrays)
    found: dict[str, Piece] = {}
    blocks: dict[tuple[str, int | None], dict[str, str]] = {}
    for key, array in arrays.items():
        if not key.startswith(root):
            continue
        inner = key.removeprefix(root)
        block = _BLOCK.fullmatch(inner)
        if block and block["before"] in ("", "Transformer/"):
            number = int(block["number"]) if block["number"] else None
            blocks.setdefault((block["before"], number), {})[block["rest"]] = key
        elif name := _OUTER.get(inner.removeprefix("Transformer/")):
            found[name] = Piece((key,), _kind_of(inner, array))
        elif inner.startswith("MAPHead_0/"):
            blocks.setdefault(("MAPHead_0", None), {})[inner.removeprefix("MAPHead_0/")] = key
    for (before, number), keys in blocks.items():
        if before == "MAPHead_0":
            found |= _pooling(keys)
        elif number is None:  # every array holds all blocks
            depth = len(arrays[next(iter(keys.values()))])
            if depth > _MOST_BLOCKS:
                raise ValueError(f"{depth:,} blocks")
            for layer in range(depth):
                found |= _block(keys, f"blocks.{layer}", layer)
        else:
            found |= _block(keys, f"blocks.{number}", None)
    return found


def heads(arrays: Mapping[str, Array], found: Mapping[str, Piece]) -> int:
    """The attention heads that the arrays state; 0 if there are none."""
    for piece in found.values():
        if piece.kind == "heads":
            return int(arrays[piece.sources[0]].shape[-2])
    return 0


def gathered(arrays: Mapping[str, Array], piece: Piece) -> Array:
    """The value of a tensor of timm. Raises ValueError if the arrays' shapes do not allow it."""
    move = _MOVES[piece.kind].forward
    values = [move(_layer(arrays[source], piece)) for source in piece.sources]
    return np.concatenate(values) if len(values) > 1 else values[0]


def scattered(arrays: dict[str, Array], piece: Piece, value: Array) -> None:
    """Writes a tensor of timm back into (copies of) the arrays that it came from."""
    back = _MOVES[piece.kind].back
    number = len(piece.sources)
    parts = np.split(value, number) if number > 1 else [value]
    for source, part in zip(piece.sources, parts, strict=True):
        array = arrays[source].copy()
        if piece.layer is None:
            if piece.kind == "same" and array.shape != part.shape:  # resized positions
                array = part.astype(array.dtype)
            array[...] = back(part, array.shape)
        else:
            array[piece.layer] = back(part, array[piece.layer].shape)
        arrays[source] = array


def _layer(array: Array, piece: Piece) -> Array:
    return array if piece.layer is None else array[piece.layer]


def _root(arrays: Mapping[str, Array]) -> str:
    """What stands before the names of the image tower: "", "params/", "params/img/", ..."""
    roots = [
        key.removesuffix("embedding/kernel") for key in arrays if key.endswith("embedding/kernel")
    ]
    return min(roots, key=lambda root: ("img" not in root, len(root)))


def _kind_of(inner: str, array: Array) -> str:
    if not inner.endswith("kernel"):
        return "same"
    return "conv" if array.ndim == 4 else "dense"


def _block(keys: Mapping[str, str], name: str, layer: int | None) -> dict[str, Piece]:
    """One block: norms and attention in the order of their numbers."""
    norms = _parts(keys, _NORM)
    found: dict[str, Piece] = {}
    for norm, ours in zip(norms, ("norm1", "norm2"), strict=False):
        found |= _norm(keys, norm, f"{name}.{ours}", layer)
    for attention in _parts(keys, _ATTENTION)[:1]:
        found |= _joined(keys, attention, _QKV, f"{name}.attn.qkv", layer)
        found |= _single(keys, f"{attention}/out", f"{name}.attn.proj", "out", layer)
    for mlp in _parts(keys, _MLP)[:1]:
        found |= _mlp(keys, mlp, f"{name}.mlp", layer)
    return found


def _pooling(keys: Mapping[str, str]) -> dict[str, Piece]:
    """SigLIP's attention pooling: a learned query attends to all patches."""
    found = {"attn_pool.latent": Piece((keys["probe"],), "same")} if "probe" in keys else {}
    for attention in _parts(keys, _ATTENTION)[:1]:
        found |= _joined(keys, attention, ("query",), "attn_pool.q", None)
        found |= _joined(keys, attention, ("key", "value"), "attn_pool.kv", None)
        found |= _single(keys, f"{attention}/out", "attn_pool.proj", "out", None)
    for norm in _parts(keys, _NORM)[:1]:
        found |= _norm(keys, norm, "attn_pool.norm", None)
    for mlp in _parts(keys, _MLP)[:1]:
        found |= _mlp(keys, mlp, "attn_pool.mlp", None)
    return found


def _parts(keys: Mapping[str, str], pattern: str) -> list[str]:
    names = {key.partition("/")[0] for key in keys}
    return sorted(name for name in names if re.fullmatch(pattern, name))


def _norm(keys: Mapping[str, str], norm: str, ours: str, layer: int | None) -> dict[str, Piece]:
    pairs = {"scale": "weight", "bias": "bias"}
    return {
        f"{ours}.{our}": Piece((keys[f"{norm}/{their}"],), "same", layer)
        for their, our in pairs.items()
        if f"{norm}/{their}" in keys
    }


def _mlp(keys: Mapping[str, str], mlp: str, ours: str, layer: int | None) -> dict[str, Piece]:
    return _single(keys, f"{mlp}/Dense_0", f"{ours}.fc1", "dense", layer) | _single(
        keys, f"{mlp}/Dense_1", f"{ours}.fc2", "dense", layer
    )


def _single(
    keys: Mapping[str, str], theirs: str, ours: str, kind: str, layer: int | None
) -> dict[str, Piece]:
    found = {}
    if f"{theirs}/kernel" in keys:
        found[f"{ours}.weight"] = Piece((keys[f"{theirs}/kernel"],), kind, layer)
    if f"{theirs}/bias" in keys:
        found[f"{ours}.bias"] = Piece((keys[f"{theirs}/bias"],), "same", layer)
    return found


def _joined(
    keys: Mapping[str, str], attention: str, names: tuple[str, ...], ours: str, layer: int | None
) -> dict[str, Piece]:
    found = {}
    for end, our, kind in (("kernel", "weight", "heads"), ("bias", "bias", "flat")):
        sources = [f"{attention}/{name}/{end}" for name in names]
        if all(source in keys for source in sources):
            found[f"{ours}.{our}"] = Piece(tuple(keys[s] for s in sources), kind, layer)
    return found
