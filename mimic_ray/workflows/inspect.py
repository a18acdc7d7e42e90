"""The content of a weight file, the encoders that fit it, and the weights that they do not use."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from mimic_ray.base.argument_types import checked_arguments
from mimic_ray.base.errors import WrongEncoderError
from mimic_ray.base.text import plain
from mimic_ray.encoders import encoder_name
from mimic_ray.store.checksums import check_sums
from mimic_ray.weight_files.alternatives import (
    LOCATION,
    Alternative,
    Facts,
    alternatives,
    differing,
    facts,
)
from mimic_ray.weight_files.choice import assumption
from mimic_ray.weight_files.clues import narrowed
from mimic_ray.weight_files.contents import Contents
from mimic_ray.weight_files.fetch import at_hand
from mimic_ray.weight_files.file_search import find_files
from mimic_ray.weight_files.key_match import fitting_encoders, require_match
from mimic_ray.weight_files.known_layouts import KnownLayout, built_layouts, known_layouts
from mimic_ray.weight_files.layout import LIMIT_BYTES, Layout, read_layout
from mimic_ray.weight_files.located_weights import KeyMatch
from mimic_ray.weight_files.publisher_views import known_names
from mimic_ray.weight_files.sniff import shown
from mimic_ray.weight_files.tensor_info import TensorInfos


@dataclass(frozen=True)
class GroupFacts:
    """One group of named tensors in the file."""

    path: str  # keys of the nested dictionaries, joined by dots; "" is the top level
    tensors: int
    numbers: int
    precisions: list[str]  # the most frequent first
    first_keys: list[str]


@dataclass(frozen=True)
class Match:
    """An encoder that fits the file.

    `facts` are what the names and shapes of weights do not determine: input statistics, attention
    heads, activation, pooling.
    """

    encoder: str
    path: str  # of the group that contains it
    prefix: str
    left_out: list[str]  # keys of the group that it does not use, such as heads and projectors
    also_fits: list[str]  # other groups and prefixes with a copy of the encoder
    tied: list[str]  # other names of the same memory: purified together
    notes: list[str]  # what was adapted
    facts: dict[str, str] = field(default_factory=dict)
    # What `--weights` takes for each of `also_fits`.
    key_paths: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Inspection:
    """The result of `inspect`. All texts are escaped, because keys may contain escape codes."""

    file: str
    format: str
    size_bytes: int
    sha256: str  # of several files: of the lines that `sha256sum` prints for `parts`
    groups: list[GroupFacts]
    notes: dict[str, str]
    contents: Contents  # what the file would call or import if it were loaded the ordinary way
    fits: list[Match]  # the likely ones first
    misfit: WrongEncoderError | None  # why the one encoder that was checked does not fit
    parts: list[str] = field(default_factory=list)  # the names of its files with weights
    # Those that the rest of the file does not contradict; names in one list give the same features.
    likely: list[list[str]] = field(default_factory=list)
    differs: list[str] = field(default_factory=list)  # the facts in which all that fit differ
    sign: str = ""  # what in the file says which of them are likely
    # Publishers whose key names the file has, for a network of whatever size.
    key_names: list[str] = field(default_factory=list)


@checked_arguments
def inspect(checkpoint: str | Path, encoder: str | None = None) -> Inspection:
    """Shows the content of a weight file and the architectures that fit it, without running code.

    A file in a run folder is first compared with the checksums of the run.

    Args:
        checkpoint: A safetensors or torch file, a folder or an index of several, or an address.
        encoder: Check only this architecture instead of all known ones. `:weights=teacher` looks
            only at the copy there.

    Returns:
        Format, size and SHA-256 of the file; its groups of tensors; `contents`, what the file
        would call or import if it were loaded the ordinary way; `fits`, the architectures that
        fit it, with what sets them apart; `misfit`, why `encoder` does not fit. All texts are
        escaped.

    Raises:
        CheckpointError: The file is missing, damaged or too large.
        UnknownNameError: There is no such `encoder`.
        StorageError: The address cannot be read.

    Example:
        found = mimic_ray.inspect("suspect.pth")
        for match in found.fits:
            print(match.encoder, "at", match.path, "without", match.left_out)
    """
    # Checked before the file is read, which may take long: the name may be wrong.
    settings = encoder or ""
    known = _layout_of(settings) if encoder_name.without_statistics(settings) else None
    path = at_hand(checkpoint, LIMIT_BYTES)
    for file in find_files(path).files:
        for run in (*file.parents,)[:3]:
            check_sums(run, file.relative_to(run).as_posix())
    layout = read_layout(path)
    misfit: WrongEncoderError | None = None
    if encoder is None or known is None:
        matches = fitting_encoders(layout, encoder_name.weights(settings))
        found = alternatives(matches)
    else:
        try:
            matches = [require_match(layout, encoder, known.side, known.tensors)]
            own = facts(known.side, known.mean, known.std, known.traits)
            if assumed := assumption(layout, matches[0], own):
                matches[0].notes.append(assumed)
            found = [Alternative((encoder,), own)]
        except WrongEncoderError as error:
            matches, found, misfit = [], [], error
    likely, sign = narrowed(layout, found)
    return Inspection(
        file=shown(layout.path),
        format=layout.format,
        size_bytes=sum(part.size for part in layout.parts),
        sha256=layout.sha256,
        parts=[plain(part.name) for part in layout.parts],
        groups=_groups(layout),
        notes=layout.notes,
        contents=layout.contents,
        fits=_fits(matches, found, likely),
        likely=[[*each.names] for each in likely],
        differs=differing(found),
        sign=sign,
        key_names=known_names(layout),
        misfit=misfit,
    )


def _layout_of(encoder: str) -> KnownLayout:
    """Raises UnknownNameError, and UsageError if a user's file fails."""
    return known_layouts().get(encoder) or built_layouts([encoder])[encoder]


def _groups(layout: Layout) -> list[GroupFacts]:
    """The largest first, because an optimizer may have a small group for every weight."""
    facts = [_facts(group, tensors) for group, tensors in layout.groups.items()]
    return sorted(facts, key=lambda group: -group.numbers)


def _facts(group: tuple[str, ...], tensors: TensorInfos) -> GroupFacts:
    kinds = Counter(tensor.dtype for tensor in tensors.values())
    return GroupFacts(
        path=plain(".".join(group)),
        tensors=len(tensors),
        numbers=sum(tensor.numbers for tensor in tensors.values()),
        precisions=[kind for kind, _ in kinds.most_common()],
        first_keys=[plain(key, 80) for key in list(tensors)[:3]],
    )


def _fits(
    matches: list[KeyMatch], found: list[Alternative], likely: list[Alternative]
) -> list[Match]:
    """The likely ones first, then in the order of the alternatives."""
    first = {name for each in likely for name in each.names}
    by_name = {name: (rank, each) for rank, each in enumerate(found) for name in each.names}
    matches = sorted(
        matches, key=lambda each: (each.encoder not in first, by_name[each.encoder][0])
    )
    return [_match(each, by_name[each.encoder][1].facts) for each in matches]


def _match(found: KeyMatch, known: Facts) -> Match:
    return Match(
        encoder=found.encoder,
        path=plain(".".join(found.group)),
        prefix=plain(found.prefix),
        left_out=[plain(key, 80) for key in found.left_out],
        also_fits=found.also_fits,
        tied=found.tied,
        notes=found.notes,
        facts={fact: value for fact, value in known.items() if fact != LOCATION},
        key_paths=[plain(copy.key_path) for copy in found.copies],
    )
