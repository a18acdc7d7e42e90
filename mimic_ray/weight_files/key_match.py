"""Finds the keys of an encoder in a file by name and shape, and accepts them only if all fit.

A file may store weights in any group (`state_dict`, `model`, `teacher` ...), under any prefix
(`module.`, `module.encoder_q.`, `visual.`, `f.` ...), with the words of wrappers anywhere in the
keys (key_index.py) and under the names of several publishers (key_styles.py). It fits if

- every key of the encoder is present with the right shape and kind (`num_batches_tracked`, which
  old files do not have, may be missing), and
- no weight in the encoder's own modules is unused, because a ResNet-34 has all keys of a ResNet-18.

If several fit, averaged copies and teachers come first (as in the loaders of DINO and timm),
students and momentum copies last, then the shortest prefix; `also_fits` lists the others, without
those that are the same memory under another name (`tied`). Only the weights of the first must be
finite.

The position embeddings of a transformer may have another length if the encoder's name includes a
size (`vit_b16@384`): they are interpolated, with a note.

Imports no torch: see layout.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from mimic_ray.base.errors import DamagedCheckpointError, WrongEncoderError, option
from mimic_ray.base.text import plain
from mimic_ray.encoders import encoder_name, positions, sizes
from mimic_ray.weight_files import sniff
from mimic_ray.weight_files.alternatives import alternatives, differing
from mimic_ray.weight_files.copy_choice import UnknownKeyPathError, chosen_copy
from mimic_ray.weight_files.key_candidates import Candidate, candidates, nearest
from mimic_ray.weight_files.key_index import KeyView
from mimic_ray.weight_files.known_layouts import known_layouts
from mimic_ray.weight_files.layout import Group, Layout
from mimic_ray.weight_files.located_weights import Copy, KeyMatch
from mimic_ray.weight_files.publisher_views import key_views
from mimic_ray.weight_files.tensor_info import TensorInfos, not_finite_message

_FIRST = {"ema", "teacher"}
_LAST = {"student", "k", "key", "momentum", "target"}


def find_match(
    layout: Layout, name: str, expected: TensorInfos, resize_to: int | None = None
) -> KeyMatch | None:
    """The location of the encoder with the keys `expected`; None if it is not in the file.

    `resize_to` is its image side if position embeddings may be interpolated to it. Raises
    UsageError if the encoder is in the file, and not where its name says.
    """
    wanted = encoder_name.weights(name)
    return _match(layout, key_views(layout), name, expected, resize_to, wanted)


def _match(
    layout: Layout,
    views: Sequence[KeyView],
    name: str,
    expected: TensorInfos,
    resize_to: int | None = None,
    wanted: str = "",
) -> KeyMatch | None:
    fitting: dict[tuple[Group, str], Candidate] = {}
    for each in candidates(views, expected):
        if each.fits(name, resize_to is not None):
            # The same tensors may fit as they stand and without a wrapper's word.
            fitting.setdefault((each.group, next(iter(each.keys.values()))), each)
    if not fitting:
        return None
    others = sorted(fitting.values(), key=_preference)
    chosen = chosen_copy(others, wanted, sniff.shown(layout.path)) if wanted else others[0]
    others.remove(chosen)
    tensors, keys, tables = chosen.view.tensors, chosen.keys, chosen.tables()
    for key in chosen.used:
        if wrong := tensors[key].not_finite:
            named = plain(".".join([*chosen.group, key]))
            numbers = tensors[key].numbers
            raise DamagedCheckpointError(
                not_finite_message(sniff.shown(layout.path), named, wrong, numbers)
            )
    tied = [other for other in others if other.is_tied(chosen)]
    others = [other for other in others if other not in tied]
    own = [chosen, *(other for other in tied if other.group == chosen.group)]
    taken = {key for each in own for key in each.used}
    notes = [_note(keys[key], *sides, resize_to or 0) for key, sides in tables.items()]
    publisher = chosen.view.publisher
    if names := publisher.name if publisher else chosen.style.name:
        notes.append(f"Key names: {names}.")
    return KeyMatch(
        encoder=name,
        group=chosen.group,
        prefix=chosen.prefix,
        sources=chosen.sources,
        left_out=[key for key in tensors if key not in taken],
        also_fits=[str(other) for other in others],
        copies=[Copy(other.group, other.prefix, other.sources) for other in others],
        tied=[str(other) for other in tied],
        resized=[*tables],
        notes=notes,
    )


def require_match(layout: Layout, name: str, side: int, expected: TensorInfos) -> KeyMatch:
    """The location of the encoder for images of `side` pixels.

    Raises WrongEncoderError with the first keys that do not fit, and with encoders that do.
    """
    found = find_match(layout, name, expected, side if sizes.is_stated(name) else None)
    if found is not None:
        return found
    resized = _at_size_of_file(key_views(layout), name, side, expected)
    own_size = resized[0] if resized else None
    fitting = _fitting_exactly(layout) or ([] if own_size else _fitting_resized(layout))
    if fitting:
        like = alternatives(fitting)
        advice = f"Every key fits {_or([each.words(differing(like)) for each in like])}: "
        if len(like) == 1:
            advice += f"use {option('encoder', like[0].names[0])}."
        else:
            advice += f"say which one it is with {option('encoder')}."
    elif own_size:
        advice = (
            f"All other keys fit, so the weights are for another image size, {own_size} pixels: "
        )
        if ".py:" in name:
            advice += "build the network for that size in your function."
        else:
            advice += (
                f"use {option('encoder', sizes.joined(name, own_size))}, or "
                f"{sizes.joined(name, side)} to interpolate the position embeddings."
            )
    else:
        advice = (
            "No known encoder fits: see `mimic-ray inspect`, or give your own network as "
            f"{option('encoder', 'file.py:function')}."
        )
    reason = _reason(layout, name, expected)
    raise WrongEncoderError(f"{sniff.shown(layout.path)} does not fit {name}: {reason}. {advice}")


def fitting_encoders(layout: Layout, wanted: str = "") -> list[KeyMatch]:
    """A match for each known encoder that fits the file, at the key path `wanted` if one is stated.

    If none fits, those that do at another image size, with that size in the name: `vit_b16@384`.
    Raises UsageError if encoders fit, but none at this key path.
    """
    return _fitting_exactly(layout, wanted) or _fitting_resized(layout, wanted)


def _fitting_exactly(layout: Layout, wanted: str = "") -> list[KeyMatch]:
    known = {name: each.tensors for name, each in known_layouts().items()}
    return _fitting(layout, key_views(layout), known, wanted)


def _fitting_resized(layout: Layout, wanted: str = "") -> list[KeyMatch]:
    views = key_views(layout)
    known = {}
    for name, each in known_layouts().items():
        if resized := _at_size_of_file(views, name, each.side, each.tensors):
            size, expected = resized
            known[sizes.joined(name, size)] = expected
    return _fitting(layout, views, known, wanted)


def _fitting(
    layout: Layout, views: Sequence[KeyView], known: Mapping[str, TensorInfos], wanted: str
) -> list[KeyMatch]:
    found, elsewhere = [], None
    for name, expected in known.items():
        try:
            found.append(_match(layout, views, name, expected, wanted=wanted))
        except UnknownKeyPathError as error:
            elsewhere = error
    matches = _widest([match for match in found if match is not None])
    if elsewhere and not matches:
        raise elsewhere
    return matches


def _widest(matches: list[KeyMatch]) -> list[KeyMatch]:
    """Without those that leave out a part of the network that another one at the same location has,
    such as register tokens or CLIP's projection."""
    return [
        match
        for match in matches
        if not any(match.group == other.group and match.used < other.used for other in matches)
    ]


def _note(key: str, old: int, new: int, size: int) -> str:
    return (
        f'The position embeddings "{plain(key)}" are for {size // new * old} pixels ({old} x {old} '
        f"patches) and were interpolated to {size} ({new} x {new}): build the network for {size} "
        "pixels to load the exported file."
    )


def _at_size_of_file(
    views: Sequence[KeyView], name: str, side: int, expected: TensorInfos
) -> tuple[int, TensorInfos] | None:
    """The image side of the file's weights and the encoder at that size, if only the position
    embeddings have another length."""
    if not any(map(positions.is_table, expected)):
        return None
    for candidate in candidates(views, expected):
        tables = candidate.tables()
        image_sides = {side // new * old for old, new in tables.values()}
        if len(image_sides) == 1 and candidate.fits(name, resize=True):
            in_file = {key: candidate.found(key) for key in tables}
            resized = {
                key: replace(expected[key], shape=info.shape)
                for key, info in in_file.items()
                if info is not None
            }
            return image_sides.pop(), {**expected, **resized}
    return None


def _reason(layout: Layout, name: str, expected: TensorInfos) -> str:
    candidate = nearest(key_views(layout), expected)
    if candidate is None:
        group = max(layout.groups.values(), key=len)
        theirs = ", ".join(f'"{plain(key, 60)}"' for key in list(group)[:2])
        return f'its keys differ ({theirs} ..., expected "{next(iter(expected))}" ...)'
    problems = [*candidate.problems(name)]
    more = f" (and {len(problems) - 2:,} more)" if len(problems) > 2 else ""
    return "; ".join(problems[:2]) + more


def _preference(candidate: Candidate) -> tuple[int, int]:
    words = set(re.split(r"[._]", ".".join([*candidate.group, candidate.prefix])))
    rank = 0 if words & _FIRST else 2 if words & _LAST else 1
    return rank, len(candidate.prefix)


def _or(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
