"""What is in a weight file, which encoder fits it, and what would be left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from mimic_ray.base.errors import WrongEncoderError
from mimic_ray.base.storage import at_hand
from mimic_ray.base.text import plain
from mimic_ray.encoders.checkpoint.read import Checkpoint, read_checkpoint
from mimic_ray.encoders.checkpoint.resolve import Fit, fit, fitting_encoders
from mimic_ray.encoders.checkpoint.sniff import shown
from mimic_ray.encoders.encoder_registry import build
from mimic_ray.store.checksums import check_sums


@dataclass(frozen=True)
class GroupFacts:
    """One set of named tensors: where it lies in the file, how much it holds."""

    place: str  # keys that lead to it, joined by dots; "" is the top
    tensors: int
    numbers: int
    precisions: list[str]  # most frequent first
    first_keys: list[str]


@dataclass(frozen=True)
class Match:
    """An encoder whose every key is in the file."""

    encoder: str
    place: str
    prefix: str
    left_out: list[str]  # keys of the same group that are no part of it: heads, projectors
    also_fits: list[str]  # other places with a copy
    notes: list[str]  # what was made to fit


@dataclass(frozen=True)
class Inspection:
    """The answer of `inspect`. All texts are printable: a stranger's keys may hold escape codes."""

    file: str
    format: str
    size_bytes: int
    sha256: str
    groups: list[GroupFacts]
    notes: dict[str, str]
    fits: list[Match]
    misfit: str | None  # why the encoder that was asked about does not fit


def inspect(path: str | Path, encoder: str | None = None) -> Inspection:
    """Reads the file under the rules of the one reader, and tries one encoder or all of ours.

    A file of one of our runs is first compared with the sums that the run has of it. Raises a
    CheckpointError when the file is refused, UnknownNameError for the encoder's name.
    """
    # First: a wrong name is found sooner than a large file is read.
    wanted = None if encoder is None else build(encoder)
    path = at_hand(str(path))
    for run in (path.parent, path.parent.parent):
        check_sums(run, path.relative_to(run).as_posix())
    checkpoint = read_checkpoint(path)
    misfit = None
    if wanted is None:
        fits = fitting_encoders(checkpoint)
    else:
        try:
            fits = [fit(checkpoint, wanted)]
        except WrongEncoderError as error:
            fits, misfit = [], error.message
    return Inspection(
        file=shown(checkpoint.path),
        format=checkpoint.format,
        size_bytes=checkpoint.path.stat().st_size,
        sha256=checkpoint.sha256,
        groups=_groups(checkpoint),
        notes=checkpoint.notes,
        fits=[_match(found) for found in fits],
        misfit=misfit,
    )


def _groups(checkpoint: Checkpoint) -> list[GroupFacts]:
    """Largest first: an optimizer may hold a small group for every weight."""
    facts = [_facts(group, tensors) for group, tensors in checkpoint.groups.items()]
    return sorted(facts, key=lambda group: -group.numbers)


def _facts(group: tuple[str, ...], tensors: dict[str, Tensor]) -> GroupFacts:
    kinds = Counter(str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values())
    return GroupFacts(
        place=plain(".".join(group)),
        tensors=len(tensors),
        numbers=sum(tensor.numel() for tensor in tensors.values()),
        precisions=[kind for kind, _ in kinds.most_common()],
        first_keys=[plain(key, 80) for key in list(tensors)[:3]],
    )


def _match(found: Fit) -> Match:
    return Match(
        encoder=found.encoder,
        place=plain(".".join(found.group)),
        prefix=plain(found.prefix),
        left_out=[plain(key, 80) for key in found.left_out],
        also_fits=found.also_fits,
        notes=found.notes,
    )
