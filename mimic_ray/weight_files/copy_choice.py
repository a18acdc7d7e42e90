"""Which of several copies of an encoder in one file is meant by `--weights KEY`.

A key path is the path of the dictionary and the prefix of the keys, joined by dots:
"state_dict.module.encoder_k". Words of it that only one copy has are enough: "encoder_k".
"""

from __future__ import annotations

from collections.abc import Sequence

from mimic_ray.base.errors import UsageError, option
from mimic_ray.base.text import plain
from mimic_ray.weight_files.key_candidates import Candidate
from mimic_ray.weight_files.layout import Group

_TOP = "."  # the copy whose keys have no prefix at the top level


class UnknownKeyPathError(UsageError):
    """A file has the encoder, but not at the key path that was given."""


def key_path_of(group: Group, prefix: str) -> str:
    return ".".join([*group, prefix]).strip(".") or _TOP


def chosen_copy(copies: Sequence[Candidate], wanted: str, name: str) -> Candidate:
    """The copy at the key path `wanted` in the file called `name`; of tied copies, the first.

    Raises UnknownKeyPathError with all key paths if none of them matches, or several do.
    """
    by_path = {key_path_of(copy.group, copy.prefix): copy for copy in copies}
    if wanted in by_path:
        return by_path[wanted]
    within = [copy for path, copy in by_path.items() if f".{wanted}." in f".{path}."]
    if within and all(copy.is_tied(within[0]) for copy in within[1:]):
        return within[0]
    what = "is not one of" if not within else "matches several of"
    listed = ", ".join(plain(path) for path in by_path)
    raise UnknownKeyPathError(
        f"{option('weights', plain(wanted))} {what} the copies of the encoder in {name}. "
        f"Key paths in this file: {listed}"
    )
