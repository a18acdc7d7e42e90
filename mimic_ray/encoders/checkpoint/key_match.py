"""Which keys of a file are an encoder's: found from names and shapes, accepted only if all fit.

A file may keep its weights anywhere (`state_dict`, `model`, `teacher` ...) and under any prefix
(`module.`, `module.encoder_q.`, `visual.`, `f.` ...). Every place where at least one key ends like
one of the encoder's is tried, and taken when

- every key of the encoder is there in the right shape and kind (`num_batches_tracked`, which old
  files lack, may be missing), and
- no weight is left over inside the encoder's own modules: a ResNet-34 has all keys of a ResNet-18.

Where several places fit, averaged copies and teachers go first (what DINO's and timm's own loaders
take), students and momentum copies last, then the shortest prefix; `also_fits` names the others.

A transformer's table of positions may have another length where the encoder's name states a size
(`vit_b16@384`): it is interpolated, and a note says so.

Imports no torch: see layout.py.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from mimic_ray.base.errors import WrongEncoderError, option
from mimic_ray.base.text import plain
from mimic_ray.encoders import positions, sizes
from mimic_ray.encoders.checkpoint import sniff
from mimic_ray.encoders.checkpoint.known_layouts import known_layouts
from mimic_ray.encoders.checkpoint.layout import Group, Layout, TensorInfos

_FIRST = {"ema", "teacher"}
_LAST = {"student", "k", "key", "momentum", "target"}

# A bound on the work that a key of a million dots can ask for.
_PREFIX_DEPTH = 8


@dataclass(frozen=True)
class KeyMatch:
    """Where in a file an encoder's weights are."""

    encoder: str
    group: Group
    prefix: str
    keys: dict[str, str]  # our key -> full key in its group
    left_out: list[str]  # full keys of the group that are no part of the encoder
    also_fits: list[str]  # other places with a copy of the encoder
    resized: list[str]  # our keys whose table is to be interpolated
    notes: list[str]  # what the user should know, a sentence each


@dataclass(frozen=True)
class _Place:
    """Where the encoder may be: under `prefix` in one group of tensors."""

    group: Group
    tensors: TensorInfos
    prefix: str
    keys_alike: int  # required keys of the encoder that are there, of whatever shape

    def __str__(self) -> str:
        where = ".".join(self.group) or "the top of the file"
        return plain(f"{where}, keys {self.prefix}*" if self.prefix else where)

    def fits(self, name: str, wanted: TensorInfos, resize: bool = False) -> bool:
        # Most places lack most keys: counting them spares the comparison.
        required = sum(not _is_count(key) for key in wanted)
        return self.keys_alike == required and not any(self.problems(name, wanted, resize))

    def problems(self, name: str, wanted: TensorInfos, resize: bool = False) -> Iterator[str]:
        """What keeps these tensors from being the encoder, in words; with `resize`, tables of
        positions for another image size do not."""
        tables = self.tables(wanted) if resize else {}
        for key, want in wanted.items():
            found = self.tensors.get(self.prefix + key)
            shown_key = f'"{plain(self.prefix + key)}"'
            if found is None:
                if not _is_count(key):
                    yield f"{shown_key} is missing"
            elif found.shape != want.shape and key not in tables:
                yield f"{shown_key} is {[*found.shape]}, wanted {[*want.shape]}"
            elif found.is_float != want.is_float and not _is_count(key):
                yield f"{shown_key} is {found.dtype}, wanted {want.dtype}"
        modules = {key.partition(".")[0] for key in wanted if "." in key}
        for key, tensor in self.tensors.items():
            ours = key.removeprefix(self.prefix) if key.startswith(self.prefix) else ""
            # Heads stand beside the encoder's modules, not in them; whole numbers are only indices.
            inside = ours.partition(".")[0] in modules and ours not in wanted
            if inside and tensor.is_float:
                yield f'"{plain(key)}" is in the file, but not in {name}'

    def tables(self, wanted: TensorInfos) -> dict[str, tuple[int, int]]:
        """Our keys of tables to interpolate: patches a side in the file, and wanted."""
        of_positions = [key for key in wanted if positions.is_table(key)]
        held = {key: self.tensors.get(self.prefix + key) for key in of_positions}
        sides = {
            key: positions.grids(table.shape, wanted[key].shape)
            for key, table in held.items()
            if table is not None and table.shape != wanted[key].shape
        }
        return {key: pair for key, pair in sides.items() if pair is not None}


def find_match(
    layout: Layout, name: str, wanted: TensorInfos, resize_to: int | None = None
) -> KeyMatch | None:
    """Where the encoder with the keys `wanted` is; None if it is nowhere.

    `resize_to` is the encoder's image side where its tables may be interpolated to it.
    """
    resize = resize_to is not None
    fitting = [place for place in _places(layout, wanted) if place.fits(name, wanted, resize)]
    if not fitting:
        return None
    chosen, *others = sorted(fitting, key=_preference)
    tensors, tables = chosen.tensors, chosen.tables(wanted)
    keys = {key: chosen.prefix + key for key in wanted if chosen.prefix + key in tensors}
    taken = set(keys.values())
    return KeyMatch(
        encoder=name,
        group=chosen.group,
        prefix=chosen.prefix,
        keys=keys,
        left_out=[key for key in tensors if key not in taken],
        also_fits=[str(place) for place in others],
        resized=[*tables],
        notes=[_note(keys[key], *sides, resize_to or 0) for key, sides in tables.items()],
    )


def require_match(layout: Layout, name: str, side: int, wanted: TensorInfos) -> KeyMatch:
    """Where the encoder is, whose images are `side` pixels wide.

    Raises WrongEncoderError with the first keys that do not fit, and what would.
    """
    found = find_match(layout, name, wanted, side if sizes.is_stated(name) else None)
    if found is not None:
        return found
    resized = _at_size_of_file(layout, name, side, wanted)
    own_size = resized[0] if resized else None
    fitting = _fitting_exactly(layout) or ([] if own_size else _fitting_resized(layout))
    if fitting:
        called = [other.encoder for other in fitting]
        way_out = f"Every key fits {_or(called)}: use {option('encoder', called[0])}."
    elif own_size:
        way_out = f"All else fits, so these are weights for another image size, {own_size} pixels: "
        if ".py:" in name:
            way_out += "build the network for that size in your function."
        else:
            way_out += (
                f"use {option('encoder', sizes.joined(name, own_size))}, or "
                f"{sizes.joined(name, side)} to have the table interpolated."
            )
    else:
        way_out = (
            "No known encoder fits: see `mimic-ray inspect`, or give your own network as "
            f"{option('encoder', 'file.py:function')}."
        )
    reason = _reason(layout, name, wanted)
    raise WrongEncoderError(f"{sniff.shown(layout.path)} does not fit {name}: {reason}. {way_out}")


def fitting_encoders(layout: Layout) -> list[KeyMatch]:
    """A match for each known encoder that the file fits.

    Where none fits as it is, those that do at another image size, named with it: `vit_b16@384`.
    """
    return _fitting_exactly(layout) or _fitting_resized(layout)


def _fitting_exactly(layout: Layout) -> list[KeyMatch]:
    tried = (find_match(layout, name, known.tensors) for name, known in known_layouts().items())
    return [found for found in tried if found is not None]


def _fitting_resized(layout: Layout) -> list[KeyMatch]:
    found = []
    for name, known in known_layouts().items():
        if resized := _at_size_of_file(layout, name, known.side, known.tensors):
            size, wanted = resized
            found.append(find_match(layout, sizes.joined(name, size), wanted))
    return [match for match in found if match is not None]


def _note(key: str, old: int, new: int, size: int) -> str:
    return (
        f'"{plain(key)}", the table of positions, is for {size // new * old} pixels ({old} x {old} '
        f"patches) and was interpolated to {size} ({new} x {new}): build the network for {size} "
        "pixels to load what is exported."
    )


def _at_size_of_file(
    layout: Layout, name: str, side: int, wanted: TensorInfos
) -> tuple[int, TensorInfos] | None:
    """The image side that the file is for and the encoder at that size, if only its tables of
    positions have another length."""
    if not any(map(positions.is_table, wanted)):
        return None
    for place in _places(layout, wanted):
        tables = place.tables(wanted)
        image_sides = {side // new * old for old, new in tables.values()}
        if len(image_sides) == 1 and place.fits(name, wanted, resize=True):
            in_file = {key: place.tensors[place.prefix + key] for key in tables}
            rows = {key: replace(wanted[key], shape=info.shape) for key, info in in_file.items()}
            return image_sides.pop(), {**wanted, **rows}
    return None


def _places(layout: Layout, wanted: TensorInfos) -> Iterator[_Place]:
    """Every group and prefix under which some key ends like one of the encoder's."""
    for group, tensors in layout.groups.items():
        alike: Counter[str] = Counter()
        for key in tensors:
            start = 0
            for _ in range(_PREFIX_DEPTH):
                if key[start:] in wanted:
                    alike[key[:start]] += not _is_count(key)
                start = key.find(".", start) + 1
                if start == 0:
                    break
        for prefix, number in alike.items():
            yield _Place(group, tensors, prefix, number)


def _reason(layout: Layout, name: str, wanted: TensorInfos) -> str:
    places = sorted(_places(layout, wanted), key=lambda place: -place.keys_alike)
    if not places:
        group = max(layout.groups.values(), key=len)
        theirs = ", ".join(f'"{plain(key, 60)}"' for key in list(group)[:2])
        return f'its keys are others ({theirs} ..., wanted "{next(iter(wanted))}" ...)'
    problems = [*places[0].problems(name, wanted)]
    more = f" (and {len(problems) - 2:,} more)" if len(problems) > 2 else ""
    return "; ".join(problems[:2]) + more


def _preference(place: _Place) -> tuple[int, int]:
    words = set(re.split(r"[._]", ".".join([*place.group, place.prefix])))
    rank = 0 if words & _FIRST else 2 if words & _LAST else 1
    return rank, len(place.prefix)


def _is_count(key: str) -> bool:
    """Batches that a batch norm has seen: missing in old files, a float where all was cast."""
    return key.endswith("num_batches_tracked")


def _or(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
