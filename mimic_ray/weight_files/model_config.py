"""What the files beside the weights say about the network: config.json of model hubs.

    config.json                 transformers (model_type, hidden_size ...), timm (architecture)
    preprocessor_config.json    transformers: image_mean, image_std, size
    open_clip_config.json       open_clip: model_cfg, preprocess_cfg

They are hints, never trusted: what they say is compared with the weights.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mimic_ray.base.errors import MimicError
from mimic_ray.base.text import plain
from mimic_ray.weight_files import sniff
from mimic_ray.weight_files.folder_search import CONFIGS, STANDARD
from mimic_ray.weight_files.weight_parts import WeightFiles, part_of

LIMIT_BYTES = 1 << 20
_DEPTH = 4
_LIST_LIMIT = 64
BESIDE = (*CONFIGS, "preprocessor_config.json")
# Shown by inspect where the config has them, in this order.
_SHOWN = {
    "model_type": "{}",
    "architecture": "{}",
    "hidden_size": "width {}",
    "num_hidden_layers": "{} layers",
    "num_attention_heads": "{} heads",
    "patch_size": "patches of {} pixels",
    "image_size": "images of {} pixels",
    "hidden_act": "{}",
}

Config = Mapping[str, Any]


def config_of(files: WeightFiles) -> dict[str, Any]:
    """The values of the config files beside the weights: dotted key -> a scalar or a short list.

    {"model_type": "clip", "vision_config.hidden_size": 768, "image_mean": [0.48, ...]}. Empty if
    there are none, or for a weight file whose name is not that of a model hub.
    """
    first = files.files[0]
    if files.folder is None and (part_of(first.name) or first.name) not in STANDARD:
        return {}
    found: dict[str, Any] = {}
    for name in BESIDE:
        found = {**dict(_flat(_content(first.with_name(name)))), **found}
    return found


def described(config: Config) -> str:
    """One line for `inspect`; "" for an empty config."""
    vision = {key.removeprefix("vision_config."): value for key, value in config.items()}
    words = [text.format(vision[key]) for key, text in _SHOWN.items() if key in vision]
    return plain(", ".join(words))


def _content(path: Path) -> Any:
    """The JSON in a file; {} for one that is missing, too large or damaged, as it is but a hint."""
    try:
        with sniff.opened(path, LIMIT_BYTES) as file:
            return json.loads(file.read())
    except (MimicError, ValueError, RecursionError):
        return {}


def _flat(value: Any, before: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and depth < _DEPTH:
        for key, inner in value.items():
            yield from _flat(inner, f"{before}.{key}" if before else key, depth + 1)
    elif before and _is_plain(value):
        yield before, value


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) <= _LIST_LIMIT and all(map(_is_scalar, value))
    return _is_scalar(value)


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)
