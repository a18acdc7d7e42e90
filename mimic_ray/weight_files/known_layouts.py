"""Facts, keys and shapes of every encoder by name, without building it: importing timm is slow.

They are in `known_layouts.json.gz`, written by tools/derive_known_layouts.py. An encoder that is
not in it is built on the meta device.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mimic_ray.encoders.encoder_registry import build, names
from mimic_ray.encoders.normalisation import Rgb
from mimic_ray.encoders.traits import Traits
from mimic_ray.weight_files.tensor_info import TensorInfo, TensorInfos, infos

_INTEGERS = ("num_batches_tracked", "relative_position_index")
_NOT_TRAINED = (*_INTEGERS, "running_mean", "running_var", "relative_coords_table")

FILE = Path(__file__).with_name("known_layouts.json.gz")


@dataclass(frozen=True)
class KnownLayout:
    """The spec of an encoder as far as it matters for a choice, and its tensors."""

    side: int  # of its images, in pixels
    width: int  # of its features
    mean: Rgb
    std: Rgb
    traits: Traits
    tensors: TensorInfos

    @property
    def parameters(self) -> int:
        """The number of trained values: without running statistics and tables of positions."""
        return sum(
            info.numbers for key, info in self.tensors.items() if not key.endswith(_NOT_TRAINED)
        )


@cache
def known_layouts() -> dict[str, KnownLayout]:
    """By name, in the order of the registry."""
    stored = json.loads(gzip.decompress(FILE.read_bytes()))
    found = {
        name: KnownLayout(
            facts["side"],
            facts["width"],
            tuple(facts["mean"]),
            tuple(facts["std"]),
            Traits(**facts["traits"]),
            {key: _info(key, shape) for key, shape in keys.items()},
        )
        for name, (facts, keys) in stored.items()
    }
    found |= built_layouts(name for name in names() if name not in found)
    return {name: found[name] for name in names()}


def built_layouts(encoders: Iterable[str]) -> dict[str, KnownLayout]:
    """The layouts of the given encoders, which are built for this."""
    found = {}
    for name in encoders:
        from mimic_ray.encoders.meta_device import meta_device

        with meta_device():
            encoder = build(name)
        spec, tensors = encoder.spec, infos(encoder.net.state_dict())
        found[name] = KnownLayout(
            spec.input_size, spec.feature_width, spec.mean, spec.std, spec.traits, tensors
        )
    return found


def encode(layouts: dict[str, KnownLayout]) -> bytes:
    """The content of FILE; equal layouts give equal bytes."""
    content = {
        name: [_facts(known), {key: info.shape for key, info in known.tensors.items()}]
        for name, known in layouts.items()
    }
    return gzip.compress(json.dumps(content, separators=(",", ":")).encode(), mtime=0)


def _facts(known: KnownLayout) -> dict[str, Any]:
    return {
        "side": known.side,
        "width": known.width,
        "mean": known.mean,
        "std": known.std,
        "traits": known.traits.stated(),
    }


def _info(key: str, shape: list[int]) -> TensorInfo:
    return TensorInfo(tuple(shape), "int64" if key.endswith(_INTEGERS) else "float32")
