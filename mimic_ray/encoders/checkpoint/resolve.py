"""Which keys of a file are an encoder's: found from the keys themselves, accepted only if all fit.

A file may keep its weights anywhere (`state_dict`, `model`, `teacher` ...) and under any prefix
(`module.`, `module.encoder_q.`, `visual.`, `f.` ...). Every place where at least one key ends like
one of the encoder's is tried, and taken when

- every key of the encoder is there in the right shape and kind (`num_batches_tracked`, which old
  files lack, may be missing), and
- no weight is left over inside the encoder's own modules: a ResNet-34 has all keys of a ResNet-18.

Where several places fit, averaged copies and teachers go first (what DINO's and timm's own loaders
take), students and momentum copies last, then the shortest prefix; `also_fits` names the others.
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
from mimic_ray.encoders.checkpoint.read import Checkpoint
from mimic_ray.encoders.checkpoint.sniff import shown
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.encoders.registry import build, names

Group = tuple[str, ...]

_FIRST = {"ema", "teacher"}
_LAST = {"student", "k", "key", "momentum", "target"}

# What timm, torchvision and CLIP call the table with a row for every patch of the image.
_POSITIONS = {"pos_embed", "pos_embedding", "positional_embedding"}

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

    def fits(self, name: str, wanted: Mapping[str, Tensor]) -> bool:
        # Most places lack most keys: counting them spares the comparison.
        required = sum(not _is_count(key) for key in wanted)
        return self.keys_alike == required and not any(self.problems(name, wanted))

    def problems(self, name: str, wanted: Mapping[str, Tensor]) -> Iterator[str]:
        """What keeps these tensors from being the encoder, in words."""
        for key, want in wanted.items():
            found = self.tensors.get(self.prefix + key)
            shown_key = f'"{plain(self.prefix + key)}"'
            if found is None:
                if not _is_count(key):
                    yield f"{shown_key} is missing"
            elif found.shape != want.shape:
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


def fit(checkpoint: Checkpoint, encoder: Encoder) -> Fit:
    """Where the encoder's weights are in the file, float32 whatever the file's precision.

    Raises WrongEncoderError with the first keys that do not fit, and what would.
    """
    name, wanted = encoder.spec.name, encoder.net.state_dict()
    found = _fit(checkpoint, name, wanted)
    if found is not None:
        return found
    fitting = [other.encoder for other in fitting_encoders(checkpoint)]
    if fitting:
        way_out = f"Every key fits {_or(fitting)}: use --encoder {fitting[0]}."
    elif _only_positions_differ(checkpoint, name, wanted):
        way_out = (
            "All else fits, so these are weights for another image size: use the encoder of that "
            "size (timm's names end in it, as vit_base_patch16_384), or your own network as "
            "--encoder file.py:function."
        )
    else:
        way_out = (
            "No encoder that is built in fits: see `mimic-ray inspect`, or give your own network "
            "as --encoder file.py:function."
        )
    reason = _reason(checkpoint, name, wanted)
    raise WrongEncoderError(f"{shown(checkpoint.path)} does not fit {name}: {reason}. {way_out}")


def fitting_encoders(checkpoint: Checkpoint) -> list[Fit]:
    """One Fit for each of our encoders and aliases that the file fits. The first call takes 3 s."""
    tried = (_fit(checkpoint, name, wanted) for name, wanted in _known().items())
    return [found for found in tried if found is not None]


@cache
def _known() -> dict[str, dict[str, Tensor]]:
    """Keys and shapes of every encoder by name, without memory behind them."""
    with torch.device("meta"):
        return {name: build(name).net.state_dict() for name in names()}


def _fit(checkpoint: Checkpoint, name: str, wanted: Mapping[str, Tensor]) -> Fit | None:
    fitting = [place for place in _places(checkpoint, wanted) if place.fits(name, wanted)]
    if not fitting:
        return None
    chosen, *others = sorted(fitting, key=_preference)
    tensors = chosen.tensors
    keys = {key: chosen.prefix + key for key in wanted if chosen.prefix + key in tensors}
    state = {
        key: tensors[keys[key]].to(want.dtype)
        if key in keys
        else torch.zeros(want.shape, dtype=want.dtype)
        for key, want in wanted.items()
    }
    taken = set(keys.values())
    left_out = [key for key in tensors if key not in taken]
    also_fits = [str(place) for place in others]
    return Fit(name, chosen.group, chosen.prefix, state, keys, left_out, also_fits)


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


def _only_positions_differ(checkpoint: Checkpoint, name: str, wanted: Mapping[str, Tensor]) -> bool:
    """Whether some place fits but for the length of a transformer's table of positions."""
    for place in _places(checkpoint, wanted):
        tables = {place.prefix + key for key in wanted if key.rpartition(".")[2] in _POSITIONS}
        problems = [*place.problems(name, wanted)]
        of_tables = [
            key
            for key in tables & place.tensors.keys()
            if place.tensors[key].shape != wanted[key.removeprefix(place.prefix)].shape
            and place.tensors[key].shape[-1:] == wanted[key.removeprefix(place.prefix)].shape[-1:]
        ]
        if of_tables and len(problems) == len(of_tables):
            return True
    return False


def _preference(place: _Place) -> tuple[int, int]:
    words = set(re.split(r"[._]", ".".join([*place.group, place.prefix])))
    rank = 0 if words & _FIRST else 2 if words & _LAST else 1
    return rank, len(place.prefix)


def _is_count(key: str) -> bool:
    """Batches that a batch norm has seen: missing in old files, a float where all was cast."""
    return key.endswith("num_batches_tracked")


def _or(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
