"""Names of a Flax network as the same network has them in torch.

    params/encoder/layer/0/output/dense/kernel   encoder.layer.0.output.dense.weight
    params/layernorm/scale                       layernorm.weight
    batch_stats/norm/mean                        norm.running_mean

As transformers does between its two libraries (modeling_flax_pytorch_utils.py). A dense kernel is
[in, out] in Flax and [out, in] in torch, a convolution [H, W, in, out] and [out, in, H, W].
"""

from __future__ import annotations

from collections.abc import Mapping

from mimic_ray.weight_files.flax_vit import Array, Piece

_COLLECTIONS = ("params/", "batch_stats/")
_ENDS = {
    "scale": "weight",
    "embedding": "weight",
    "mean": "running_mean",
    "var": "running_var",
}
_KERNELS = {2: "dense", 4: "conv"}  # by the number of dimensions


def pieces(arrays: Mapping[str, Array]) -> dict[str, Piece]:
    """Names of torch -> where their values are; {} if no key is that of a kernel of Flax.

    Arrays that would have the name of another one keep their own.
    """
    if not any(key.endswith("/kernel") for key in arrays):
        return {}
    found: dict[str, Piece] = {}
    for key, array in arrays.items():
        inner = key
        for collection in _COLLECTIONS:
            inner = inner.removeprefix(collection)
        module, _, end = inner.rpartition("/")
        kind = "same"
        if end == "kernel" and array.ndim in _KERNELS:
            kind, end = _KERNELS[array.ndim], "weight"
        name = f"{module}/{_ENDS.get(end, end)}".strip("/").replace("/", ".")
        found.setdefault(name, Piece((key,), kind))
    return found
