"""Which keys of a file are an encoder's: found from the keys themselves, accepted only if all fit.

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
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

import torch
from torch import Tensor

from mimic_ray.base.errors import WrongEncoderError
from mimic_ray.base.text import plain
from mimic_ray.base.user_code import is_user_code
from mimic_ray.encoders import positions, sizes
from mimic_ray.encoders.checkpoint.read import Checkpoint
from mimic_ray.encoders.checkpoint.sniff import shown
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.encoders.encoder_registry import build, names

Group = tuple[str, ...]

_FIRST = {"ema", "teacher"}
_LAST = {"student", "k", "key", "momentum", "target"}

# A bound on the work that a key of a million dots can ask for.
_PREFIX_DEPTH = 8


@dataclass(frozen=True)
class Fit:
    """Where in a file an encoder's weights are. `state` loads into `Encoder.net`."""

    encoder: str
    group: Group
    prefix: str
    state: dict[str, Tensor]  # keys, shapes and dtypes of Encoder.net
    keys: dict[str, str]  # our key -> full key in its group
    left_out: list[str]  # full keys of the group that are no part of the encoder
    also_fits: list[str] = field(default_factory=list)  # other places with a copy of the encoder
    resized: list[str] = field(default_factory=list)  # our keys whose table was interpolated
    notes: list[str] = field(default_factory=list)  # what the user should know, a sentence each


@dataclass(frozen=True)
class _Place:
    """Where the encoder may be: under `prefix` in one group of tensors."""

    group: Group
    tensors: Mapping[str, Tensor]
    prefix: str
    keys_alike: int  # required keys of the encoder that are there, of whatever shape

    def __str__(self) -> str:
        where = ".".join(self.group) or "the top of the file"
        return plain(f"{where}, keys {self.prefix}*" if self.prefix else where)

    def fits(self, name: str, wanted: Mapping[str, Tensor], resize: bool = False) -> bool:
        # Most places lack most keys: counting them spares the comparison.
        required = sum(not _is_count(key) for key in wanted)
        return self.keys_alike == required and not any(self.problems(name, wanted, resize))

    def problems(
        self, name: str, wanted: Mapping[str, Tensor], resize: bool = False
    ) -> Iterator[str]:
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
            elif found.is_floating_point() != want.is_floating_point() and not _is_count(key):
                yield f"{shown_key} is {found.dtype}, wanted {want.dtype}"
        modules = {key.partition(".")[0] for key in wanted if "." in key}
        for key, tensor in self.tensors.items():
            ours = key.removeprefix(self.prefix) if key.startswith(self.prefix) else ""
            # Heads stand beside the encoder's modules, not in them; whole numbers are only indices.
            inside = ours.partition(".")[0] in modules and ours not in wanted
            if inside and tensor.is_floating_point():
                yield f'"{plain(key)}" is in the file, but not in {name}'

    def tables(self, wanted: Mapping[str, Tensor]) -> dict[str, tuple[int, int]]:
        """Our keys of tables to interpolate: patches a side in the file, and wanted."""
        of_positions = [key for key in wanted if positions.is_table(key)]
        held = {key: self.tensors.get(self.prefix + key) for key in of_positions}
        sides = {
            key: positions.grids(table.shape, wanted[key].shape)
            for key, table in held.items()
            if table is not None and table.shape != wanted[key].shape
        }
        return {key: pair for key, pair in sides.items() if pair is not None}


def fit(checkpoint: Checkpoint, encoder: Encoder) -> Fit:
    """Where the encoder's weights are in the file, float32 whatever the file's precision.

    Raises WrongEncoderError with the first keys that do not fit, and what would.
    """
    name, wanted = encoder.spec.name, encoder.net.state_dict()
    side = encoder.spec.input_size
    found = _fit(checkpoint, name, wanted, side if sizes.is_stated(name) else None)
    if found is not None:
        return found
    own_size = _size_in_file(checkpoint, name, wanted, side)
    fitting = _fitting_exactly(checkpoint) or ([] if own_size else _fitting_resized(checkpoint))
    if fitting:
        called = [other.encoder for other in fitting]
        way_out = f"Every key fits {_or(called)}: use --encoder {called[0]}."
    elif own_size:
        way_out = f"All else fits, so these are weights for another image size, {own_size} pixels: "
        if is_user_code(name):
            way_out += "build the network for that size in your function."
        else:
            way_out += (
                f"use --encoder {sizes.joined(name, own_size)}, or {sizes.joined(name, side)} to "
                "have the table interpolated."
            )
    else:
        way_out = (
            "No encoder that is built in fits: see `mimic-ray inspect`, or give your own network "
            "as --encoder file.py:function."
        )
    reason = _reason(checkpoint, name, wanted)
    raise WrongEncoderError(f"{shown(checkpoint.path)} does not fit {name}: {reason}. {way_out}")


def fitting_encoders(checkpoint: Checkpoint) -> list[Fit]:
    """One Fit for each of our encoders and aliases that the file fits. The first call takes 3 s.

    Where none fits as it is, those that do at another image size, named with it: `vit_b16@384`.
    """
    return _fitting_exactly(checkpoint) or _fitting_resized(checkpoint)


def _fitting_exactly(checkpoint: Checkpoint) -> list[Fit]:
    tried = (_fit(checkpoint, name, wanted) for name, (_, wanted) in _known().items())
    return [found for found in tried if found is not None]


def _fitting_resized(checkpoint: Checkpoint) -> list[Fit]:
    tried = []
    for name, (side, wanted) in _known().items():
        if size := _size_in_file(checkpoint, name, wanted, side):
            resized = sizes.joined(name, size)
            with torch.device("meta"):
                state = build(resized).net.state_dict()
            tried.append(_fit(checkpoint, resized, state))
    return [found for found in tried if found is not None]


@cache
def _known() -> dict[str, tuple[int, dict[str, Tensor]]]:
    """Image side, keys and shapes of every encoder by name, without memory behind them."""
    with torch.device("meta"):
        built = {name: build(name) for name in names()}
    return {name: (made.spec.input_size, made.net.state_dict()) for name, made in built.items()}


def _fit(
    checkpoint: Checkpoint, name: str, wanted: Mapping[str, Tensor], resize_to: int | None = None
) -> Fit | None:
    """`resize_to` is the encoder's image side where its tables may be interpolated to it."""
    resize = resize_to is not None
    fitting = [place for place in _places(checkpoint, wanted) if place.fits(name, wanted, resize)]
    if not fitting:
        return None
    chosen, *others = sorted(fitting, key=_preference)
    tensors, tables = chosen.tensors, chosen.tables(wanted)
    keys = {key: chosen.prefix + key for key in wanted if chosen.prefix + key in tensors}
    state = {
        key: positions.resampled(tensors[keys[key]], want.shape).to(want.dtype)
        if key in tables
        else tensors[keys[key]].to(want.dtype)
        if key in keys
        else torch.zeros(want.shape, dtype=want.dtype)
        for key, want in wanted.items()
    }
    taken = set(keys.values())
    return Fit(
        encoder=name,
        group=chosen.group,
        prefix=chosen.prefix,
        state=state,
        keys=keys,
        left_out=[key for key in tensors if key not in taken],
        also_fits=[str(place) for place in others],
        resized=[*tables],
        notes=[_note(keys[key], *sides, resize_to or 0) for key, sides in tables.items()],
    )


def _note(key: str, old: int, new: int, size: int) -> str:
    return (
        f'"{plain(key)}", the table of positions, is for {size // new * old} pixels ({old} x {old} '
        f"patches) and was interpolated to {size} ({new} x {new}): build the network for {size} "
        "pixels to load what is exported."
    )


def _size_in_file(
    checkpoint: Checkpoint, name: str, wanted: Mapping[str, Tensor], side: int
) -> int | None:
    """The image side that the file is for, where all but its tables of positions fits."""
    if not any(map(positions.is_table, wanted)):
        return None
    for place in _places(checkpoint, wanted):
        if (tables := place.tables(wanted)) and place.fits(name, wanted, resize=True):
            old, new = next(iter(tables.values()))
            return side // new * old
    return None


def _places(checkpoint: Checkpoint, wanted: Mapping[str, Tensor]) -> Iterator[_Place]:
    """Every group and prefix under which some key ends like one of the encoder's."""
    for group, tensors in checkpoint.groups.items():
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


def _reason(checkpoint: Checkpoint, name: str, wanted: Mapping[str, Tensor]) -> str:
    places = sorted(_places(checkpoint, wanted), key=lambda place: -place.keys_alike)
    if not places:
        group = max(checkpoint.groups.values(), key=len)
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
