"""Locations in a file where an encoder may be: a prefix in one group of tensors, in one style."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from mimic_ray.base.text import plain
from mimic_ray.encoders import positions
from mimic_ray.weight_files.key_index import KeyView
from mimic_ray.weight_files.key_sources import StoredWeight
from mimic_ray.weight_files.key_styles import KeyStyle, styles_of
from mimic_ray.weight_files.layout import Group
from mimic_ray.weight_files.tensor_info import TensorInfo, TensorInfos

# Tokens that a transformer attends to, beside its modules.
_TOKENS = {"cls_token", "dist_token", "reg_token", "register_tokens", "storage_tokens"}

# Modules with a norm of the encoder beside the classifier, as in ConvNeXt.
_HEADS = {"head", "classifier"}

# Floating-point buffers that profilers (thop) leave in every module.
_COUNTERS = ("total_ops", "total_params")

# Limits the work for a key with a million dots.
_PREFIX_DEPTH = 8


@dataclass(frozen=True, eq=False)
class Candidate:
    """A location where the encoder with the keys `expected` may be."""

    view: KeyView
    prefix: str
    style: KeyStyle
    expected: TensorInfos
    matching_keys: int = 0  # required keys that are present, with any shape; 0 if not counted

    @property
    def group(self) -> Group:
        return self.view.group

    def __str__(self) -> str:
        group = ".".join(self.group) or "the top level of the file"
        return plain(f"{group}, keys {self.prefix}*" if self.prefix else group)

    @cached_property
    def compared(self) -> dict[str, str]:
        """Our keys -> the keys of the view."""
        return {key: self._theirs(key) for key in self.expected}

    @property
    def keys(self) -> dict[str, str]:
        """Our keys -> the file's, of those that are there."""
        files = self.view.files
        return {key: files[theirs] for key, theirs in self.compared.items() if theirs in files}

    @property
    def sources(self) -> dict[str, StoredWeight]:
        """Our keys -> the file's tensors that hold them, of those that are there."""
        sources, theirs = self.view.sources, self.compared
        return {
            key: sources.get(theirs[key]) or StoredWeight((full,), shapes=self._shapes(key))
            for key, full in self.keys.items()
        }

    @property
    def used(self) -> set[str]:
        """The file's keys that hold the encoder."""
        return {key for source in self.sources.values() for key in source.keys}

    def found(self, key: str) -> TensorInfo | None:
        """The file's tensor for our key."""
        found, shapes = self.view.info(self._theirs(key)), self._shapes(key)
        return replace(found, shape=shapes[0]) if found and shapes else found

    def _theirs(self, key: str) -> str:
        return self.prefix + self.style.key(key)

    def _shapes(self, key: str) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        """Our shape and the file's if they differ in dimensions of length 1 alone."""
        found = self.view.info(self._theirs(key)) if self.style.units else None
        if found is None:
            return None
        ours, theirs = self.expected[key].shape, found.shape
        same = [n for n in ours if n > 1] == [n for n in theirs if n > 1]
        return (ours, theirs) if same and ours != theirs else None

    def fits(self, name: str, resize: bool = False) -> bool:
        return not any(self.problems(name, resize))

    def problems(self, name: str, resize: bool = False) -> Iterator[str]:
        """The reasons why these tensors are not the encoder. With `resize`, position embeddings for
        another image size are not a reason."""
        tables = self.tables() if resize else {}
        for key, info in self.expected.items():
            found = self.found(key)
            shown_key = f'"{self.view.shown(self.prefix, self.style.key(key))}"'
            if found is None:
                if not is_batch_count(key):
                    yield f"{shown_key} is missing"
            elif found.shape != info.shape and key not in tables:
                yield f"{shown_key} is {[*found.shape]}, expected {[*info.shape]}"
            elif not found.is_plain or (
                found.is_float != info.is_float and not is_batch_count(key)
            ):
                yield f"{shown_key} is {found.dtype}, expected {info.dtype}"
        theirs = {key.removeprefix(self.prefix) for key in self.compared.values()}
        modules = {key.partition(".")[0] for key in theirs if "." in key} - _HEADS
        for key, original in self.view.files.items():
            rest = key.removeprefix(self.prefix) if key.startswith(self.prefix) else ""
            # Heads are outside the encoder's modules; integer tensors are only indices.
            inside = rest not in theirs and (rest.partition(".")[0] in modules or rest in _TOKENS)
            inside = inside and not rest.endswith(_COUNTERS)
            inside = inside and not rest.startswith(self.style.beside or "\0")
            if inside and self.view.tensors[original].is_float:
                yield f'"{plain(original)}" is in the file, but not in {name}'

    def is_tied(self, other: Candidate) -> bool:
        """Whether both are the same memory, as in a network that has one module twice."""
        theirs = other.sources
        pairs = [
            (self.view.tensors[one].memory, other.view.tensors[two].memory)
            for ours, source in self.sources.items()
            if not is_batch_count(ours)
            for one, two in zip(source.keys, theirs[ours].keys, strict=False)
        ]
        return all(one == two != "" for one, two in pairs)

    def tables(self) -> dict[str, tuple[int, int]]:
        """Our keys of position embeddings to interpolate: patches per side, found and expected."""
        sides = {}
        for key, info in self.expected.items():
            table = self.found(key) if positions.is_table(key) else None
            if table is not None and table.shape != info.shape:
                sides[key] = positions.grids(table.shape, info.shape)
        return {key: pair for key, pair in sides.items() if pair is not None}


def candidates(views: Sequence[KeyView], expected: TensorInfos) -> Iterator[Candidate]:
    """The locations that have one required key of the encoder, in its shape.

    An encoder that the key names exclude costs one look-up a style.
    """
    probe = _probe(expected)
    for style in styles_of(expected):
        theirs = style.key(probe)
        for view in views:
            for prefix in view.prefixes(theirs):
                candidate = Candidate(view, prefix, style, expected)
                found = candidate.found(probe)
                if found is not None and found.shape == expected[probe].shape:
                    yield candidate


def _probe(expected: TensorInfos) -> str:
    """A required key that few other networks have; no position embeddings, which may differ."""
    fixed = [key for key in expected if not (is_batch_count(key) or positions.is_table(key))]
    return max(fixed or [*expected], key=lambda key: key.count("."))


def nearest(views: Sequence[KeyView], expected: TensorInfos) -> Candidate | None:
    """The location with the most of the encoder's keys, in any shape."""
    found = [
        Candidate(view, prefix, style, expected, number)
        for style in styles_of(expected)
        for view in views
        for prefix, number in _counted(view, {style.key(key) for key in expected}).items()
    ]
    return max(found, key=lambda each: each.matching_keys, default=None)


def _counted(view: KeyView, theirs: set[str]) -> Counter[str]:
    """The number of required keys under each prefix under which a key ends like one of them."""
    matching: Counter[str] = Counter()
    for key in view.files:
        start = 0
        for _ in range(_PREFIX_DEPTH):
            if key[start:] in theirs:
                matching[key[:start]] += not is_batch_count(key)
            start = key.find(".", start) + 1
            if start == 0:
                break
    return matching


def is_batch_count(key: str) -> bool:
    """A batch norm's counter: missing in old files, a float if everything was cast."""
    return key.endswith("num_batches_tracked")
