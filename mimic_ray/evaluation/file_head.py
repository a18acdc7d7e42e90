"""Classifiers from files, which are not trained: beside an encoder, or in a file of their own.

A user who swaps one encoder for another keeps this head. It reads features as the encoder gives
them, not of unit length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from mimic_ray.base.errors import UsageError, option
from mimic_ray.base.text import plain
from mimic_ray.evaluation.head_choice import OWN, head_label
from mimic_ray.weight_files.fetch import at_hand
from mimic_ray.weight_files.layout import LIMIT_BYTES, Group
from mimic_ray.weight_files.load import log_finding
from mimic_ray.weight_files.read import Checkpoint, read_checkpoint
from mimic_ray.weight_files.resolve import Fit
from mimic_ray.weight_files.sniff import shown
from mimic_ray.weight_files.tensors import not_finite

# Modules that classifiers have in public files; a projector is also a linear layer.
_NAMES = {"fc", "linear", "classifier", "head", "last_linear", "output", "logits", "out"}
_MOST_LISTED = 6


@dataclass(frozen=True)
class FileHead:
    """A linear classifier: weight [C, D], bias [C], and its key in the file."""

    weight: Tensor
    bias: Tensor
    key: str
    file: HeadFile | None = None  # None: the file of the encoder

    @property
    def chosen(self) -> str:
        """What the user gave for it."""
        return str(self.file.location) if self.file else OWN

    def predict(self, features: Tensor) -> Tensor:
        """Features [N, D] of any length, as the encoder gives them -> classes [N]."""
        return F.linear(features, self.weight, self.bias).argmax(dim=1)

    def described(self) -> str:
        where = self.file.described() if self.file else "each file"
        return f"{plain(self.key)} in {where}, not trained"


@dataclass(frozen=True)
class HeadFile:
    """A file that was given for its classifier, and that may hold a whole network."""

    location: str | Path
    checkpoint: Checkpoint
    finding: str = ""  # what loading it the ordinary way would call or import

    @property
    def label(self) -> str:
        """Its name in tables."""
        return head_label(self.location)

    def described(self) -> str:
        return f"{plain(self.label)} (SHA-256 {self.checkpoint.sha256})"

    def head(self, feature_width: int) -> FileHead:
        """The classifier for features of that width.

        Raises UsageError if the file has none or several, or one of more than one layer.
        """
        name = shown(self.checkpoint.path)
        found = [
            head
            for group, tensors in self.checkpoint.groups.items()
            for key in tensors
            if (head := _linear(tensors, key, self, group))
        ]
        if not found:
            raise UsageError(
                f"{name} has no linear classifier, which has a weight of classes x features and "
                "a bias of classes: give the file of one."
            )
        fitting = [head for head in found if head.weight.shape[1] == feature_width]
        if not fitting:
            widths = sorted({head.weight.shape[1] for head in found})
            raise UsageError(
                f"{name} has a head for features of width {_listed(widths)} ({_keys(found)}), and "
                f"the encoder has features of width {feature_width}: give the head of this encoder."
            )
        named = [head for head in fitting if _has_name(head.key)] or fitting
        if len(named) > 1:
            raise UsageError(
                f"{name} has {len(named)} layers that may be the head ({_keys(named)}): give a "
                "file with one of them only."
            )
        (head,) = named
        for group, tensors in self.checkpoint.groups.items():
            _require_last(tensors, head, name, group)
        _require_finite(head, name)
        return head


def _require_finite(head: FileHead, name: str) -> None:
    if wrong := not_finite(head.weight) + not_finite(head.bias):
        raise UsageError(
            f"The head {plain(head.key)} of {name} has NaN or infinity in {wrong:,} values: "
            "give another file."
        )


def read_head_file(location: str | Path) -> HeadFile:
    """Opens a file for its classifier, without running code from it.

    `location` is a path or an address of any format that an encoder's weights may have. Raises a
    CheckpointError for the file, StorageError if it cannot be fetched.
    """
    checkpoint = read_checkpoint(at_hand(location, LIMIT_BYTES))
    return HeadFile(location, checkpoint, log_finding(checkpoint))


def find_head(checkpoint: Checkpoint, fit: Fit, feature_width: int) -> FileHead:
    """The classifier beside the encoder that `fit` found. Raises UsageError if there is none."""
    tensors = checkpoint.groups[fit.group]
    used = fit.used
    free = {key: tensor for key, tensor in tensors.items() if key not in used}
    found = [head for key in free if (head := _linear(free, key))]
    named = [
        head for head in found if _has_name(head.key) and head.weight.shape[1] == feature_width
    ]
    if len(named) == 1:
        _require_last(free, named[0], str(checkpoint.path))
        _require_finite(named[0], plain(checkpoint.path))
        return named[0]
    what = (
        f"has {len(named)} layers that may be one ({_keys(named)})"
        if named
        else f"has no linear classifier for features of width {feature_width}"
    )
    raise UsageError(
        f"{checkpoint.path} {what}, so {option('heads', OWN)} cannot be used: give the file of "
        f"the classifier as {option('heads')}, or leave it out to train a head on the features."
    )


def _linear(
    tensors: Mapping[str, Tensor], key: str, file: HeadFile | None = None, group: Group = ()
) -> FileHead | None:
    weight = tensors[key]
    if not key.endswith("weight") or weight.ndim != 2 or not weight.is_floating_point():
        return None
    bias = tensors.get(f"{key.removesuffix('weight')}bias", torch.zeros(len(weight)))
    if bias.shape != (len(weight),):
        return None
    name = ".".join((*group, key.removesuffix(".weight")))
    return FileHead(weight.float(), bias.float(), name, file)


def _require_last(
    tensors: Mapping[str, Tensor], head: FileHead, name: str, group: Group = ()
) -> None:
    """Raises UsageError if a layer beside `head` reads its output: it would be one of several."""
    parent = head.key.rpartition(".")[0]
    for key in tensors:
        after = _linear(tensors, key, group=group)
        if after is None or after.key == head.key or after.weight.shape[1] != len(head.weight):
            continue
        if after.key.rpartition(".")[0] == parent:
            raise UsageError(
                f"The head {plain(head.key)} of {name} is followed by another layer, "
                f"{plain(after.key)}: only a head of one linear layer can be used."
            )


def _has_name(key: str) -> bool:
    # EfficientNets of some publishers have `_fc`.
    return bool({part.strip("_") for part in key.split(".")} & _NAMES)


def _keys(heads: Sequence[FileHead]) -> str:
    return _listed([plain(head.key) for head in heads])


def _listed(values: Sequence[object]) -> str:
    more = f" and {len(values) - _MOST_LISTED} more" if len(values) > _MOST_LISTED else ""
    return ", ".join(map(str, values[:_MOST_LISTED])) + more
