"""Which of several copies of an encoder in one file is meant by `--weights PLACE`.

A place is the path of the dictionary and the prefix of the keys, joined by dots:
"state_dict.module.encoder_k". Words of it that only one copy has are enough: "encoder_k".
"""

from __future__ import annotations

from collections.abc import Sequence

from mimic_ray.base.errors import UsageError, option
from mimic_ray.base.text import plain
from mimic_ray.weight_files.key_candidates import Candidate
from mimic_ray.weight_files.layout import Group

_TOP = "."  # the copy whose keys have no prefix at the top level


class UnknownPlaceError(UsageError):
    """A file has the encoder, and not at the place that was named."""


def place_of(group: Group, prefix: str) -> str:
    return ".".join([*group, prefix]).strip(".") or _TOP


def chosen_copy(copies: Sequence[Candidate], wanted: str, name: str) -> Candidate:
    """The copy at the place `wanted` in the file called `name`; of names for one memory, the first.

    Raises UnknownPlaceError with the places if it names none of them, or several.
    """
    places = {place_of(copy.group, copy.prefix): copy for copy in copies}
    if wanted in places:
        return places[wanted]
    within = [copy for place, copy in places.items() if f".{wanted}." in f".{place}."]
    if within and all(copy.is_tied(within[0]) for copy in within[1:]):
        return within[0]
    what = "is not one of" if not within else "does not tell"
    listed = ", ".join(plain(place) for place in places)
    raise UnknownPlaceError(
        f"{option('weights', plain(wanted))} {what} the copies of the encoder in {name}: {listed}."
    )
