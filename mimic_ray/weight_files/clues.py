"""What a file says about its encoder beside the weights of the encoder.

A training checkpoint has the rest of the training: the momentum encoder of MoCo, the decoder of
MAE, an argument `arch`. It distinguishes encoders whose own keys are equal. Imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from mimic_ray.base.text import plain
from mimic_ray.encoders.aliases import TIMM_ALIASES
from mimic_ray.encoders.normalisation import Normalisation
from mimic_ray.weight_files.alternatives import (
    STATISTICS,
    Alternative,
    Facts,
    base_name,
    statistics_words,
)
from mimic_ray.weight_files.layout import Layout


@dataclass(frozen=True)
class Clue:
    """What stands in the files of one method.

    Attributes:
        encoders: Pattern of the names of our encoders that such files hold.
        sign: What it is, in words.
        keys: Found in a key of the file with its group: "teacher.head.last_layer.weight_g".
        notes: Found in another value of the file: "args.arch: vit_small".
    """

    encoders: str
    sign: str
    keys: str = ""
    notes: str = ""


# Names of keys and arguments of the training code of these papers.
CLUES = (
    Clue(
        "moco_*",
        "the two encoders of MoCo v3",
        r"(^|\.)(base|momentum)_encoder\.",
        r"(^|\.)moco_(m|t|dim|mlp_dim)\b",
    ),
    Clue("mae_*", "the decoder of MAE", r"(^|\.)decoder_(embed|blocks|pos_embed)\b", r": mae_vit_"),
    Clue("dino_*", "the head of DINO", r"(^|\.)head\.last_layer\.", r"(^|\.)teacher_temp\b"),
    Clue(
        "badencoder_imagenet",
        "the names of BadEncoder's ImageNet encoder",
        r"(^|\.)visual\.layer1\.0\.conv1\.weight$",
    ),
    Clue("clip_*", "the numbers of OpenAI's archives", r"(^|\.)(context_length|input_resolution)$"),
    Clue("deit_*_distilled", "DeiT's own key names", r"(^|\.)dist_token$"),
    Clue(
        "deit_*_distilled_class",
        "the key names of Hugging Face",
        r"(^|\.)embeddings\.distillation_token$",
    ),
    Clue("siglip_*", "the bias of SigLIP's loss", r"(^|\.)logit_bias$", r": siglip"),
)
# Arguments and entries of configurations that name an architecture, or state a fact of it.
_ARCHITECTURE = {"arch", "architecture", "model", "model_name", "backbone", "timm_name", "encoder"}
_FACTS = {
    "num_heads": "heads",
    "num_attention_heads": "heads",
    "hidden_act": "activation",
    "num_register_tokens": "register tokens",
}
# Of transformers, timm and open_clip, in the files beside the weights.
_STATISTICS = (
    ("image_mean", "image_std"),
    ("pretrained_cfg.mean", "pretrained_cfg.std"),
    ("preprocess_cfg.mean", "preprocess_cfg.std"),
)
_ACTIVATIONS = {
    "gelu": "GELU",
    "quick_gelu": "QuickGELU",
    "gelu_pytorch_tanh": "GELUTanh",
}


def narrowed(layout: Layout, found: Sequence[Alternative]) -> tuple[list[Alternative], str]:
    """The alternatives that the file does not contradict, and what in it decides, in words.

    All of them and "" if nothing does.
    """
    left, signs = [*found], []
    for sign, fits in _signs(layout):
        fitting = [
            Alternative(names, each.facts)
            for each in left
            if (names := tuple(name for name in each.names if fits(base_name(name), each.facts)))
        ]
        if fitting and fitting != left:
            left = fitting
            signs.append(sign)
    return left, " and ".join(signs)


def _signs(layout: Layout) -> Iterator[tuple[str, Callable[[str, Facts], bool]]]:
    """Each clue in the file, with whether an encoder of that name and facts agrees."""
    keys = [".".join([*group, key]) for group, tensors in layout.groups.items() for key in tensors]
    notes = [f"{key}: {note}" for key, note in layout.notes.items()]
    for clue in CLUES:
        if _occurs(clue.keys, keys) or _occurs(clue.notes, notes):
            yield clue.sign, partial(_is_like, clue.encoders)
    for key, value in [*layout.notes.items(), *layout.config.items()]:
        before, _, word = key.rpartition(".")
        said = f"{plain(key)}: {plain(value, 60)}"
        if before.startswith("text"):  # of CLIP's other tower
            continue
        if word in _ARCHITECTURE:
            yield said, partial(_is_called, str(value))
        elif word in _FACTS:
            yield said, partial(_has, _FACTS[word], _ACTIVATIONS.get(str(value), str(value)))
    for mean, std in _STATISTICS:
        if (chosen := _statistics(layout.config, mean, std)) is not None:
            words = statistics_words(*chosen)
            yield f"{mean} and {std} ({words})", partial(_has, STATISTICS, words)


def _statistics(config: Mapping[str, Any], mean: str, std: str) -> Normalisation | None:
    """Those under two keys of a config, if they are three numbers each."""
    try:
        (m1, m2, m3), (s1, s2, s3) = (map(float, config[key]) for key in (mean, std))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return Normalisation((m1, m2, m3), (s1, s2, s3))


def _occurs(pattern: str, texts: Sequence[str]) -> bool:
    return bool(pattern) and any(map(re.compile(pattern).search, texts))


def _is_like(pattern: str, name: str, facts: Facts) -> bool:  # noqa: ARG001
    return fnmatchcase(name, pattern)


def _is_called(written: str, name: str, facts: Facts) -> bool:  # noqa: ARG001
    return written in (name, TIMM_ALIASES.get(name))


def _has(fact: str, value: str, name: str, facts: Facts) -> bool:  # noqa: ARG001
    return facts.get(fact) == value
