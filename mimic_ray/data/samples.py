"""The samples of a tar: members with the same key. One image of each is read.

The key is that of webdataset: a member's name up to the first dot of its last part, so `a/1.jpg`,
`a/1.seg.png` and `a/1.cls` are one sample. The image of a sample with several is

1. not one with a word such as `seg`, `mask` or `depth` in its suffix, if there is another;
2. the one with a plain suffix, `1.jpg` rather than `1.left.jpg`; of several, the first in the order
   of `names.IMAGE_FORMATS`;
3. else the only one that is left. Several are refused, because none is clearly the photograph.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from mimic_ray.data.names import IMAGE_FORMATS

# Suffixes of a label, in the order in which they count, and their largest size.
LABEL_BYTES = {"cls": 64, "json": 64 << 10, "txt": 64}
LABEL_KEYS = ("label", "cls", "class", "class_id", "target", "class_name", "label_name", "category")
_LONGEST_CLASS_NAME = 64

# More images with one key than this are files with dots in their names: photo.1.jpg, photo.2.jpg.
MOST_IMAGES = 16

_ORDER = {suffix: index for index, suffix in enumerate(IMAGE_FORMATS)}
_NOT_A_PHOTOGRAPH = re.compile(
    r"(^|[._-])(segs?|segmentation|masks?|labels?|annotations?|gt|depths?|edges?|normals?|semantic|"
    r"instances?|panoptic|trimap|matte|alpha|flow|disparity|heatmap|thumb(nail)?|preview)([._-]|$)"
)


def key_and_suffix(name: str) -> tuple[str, str]:
    """ "a.b/1.seg.PNG" -> ("a.b/1", "seg.png")."""
    folder, slash, last = name.rpartition("/")
    stem, _, suffix = last.partition(".")
    return folder + slash + stem, suffix.lower()


def is_other_than_photograph(suffix: str) -> bool:
    """Whether a compound suffix says that an image is a mask, a depth map and so on."""
    return bool(_NOT_A_PHOTOGRAPH.search(suffix.rpartition(".")[0]))


def chosen_image(suffixes: Sequence[str]) -> int | None:
    """The position of the image that is read among those of a sample, None if it is not clear."""
    indices = [p for p, each in enumerate(suffixes) if not is_other_than_photograph(each)]
    if plain := [p for p in indices if "." not in suffixes[p]]:
        return min(plain, key=lambda p: _ORDER.get(suffixes[p], len(_ORDER)))
    indices = indices or list(range(len(suffixes)))
    return indices[0] if len(indices) == 1 else None


def label_in(suffix: str, content: bytes) -> int | str | None:
    """The class in a `.cls`, `.json` or `.txt`: its number, its name, or None."""
    found: Any = None
    with suppress(ValueError, RecursionError):
        text = content.decode().strip()
        found = json.loads(text) if suffix == "json" else text
    if isinstance(found, dict):
        found = next((found[key] for key in LABEL_KEYS if key in found), None)
    return label_of(found)


def label_of(found: Any) -> int | str | None:
    """A value as a class number or name, None if it is neither."""
    if isinstance(found, str):
        found = int(found) if found.isascii() and found.isdigit() else found
    if isinstance(found, bool) or (isinstance(found, int) and not 0 <= found < 1 << 31):
        return None
    if isinstance(found, str):
        suits = 0 < len(found) <= _LONGEST_CLASS_NAME and found.isprintable()
        return found if suits and re.search(r"[^\d.+\s-]", found) else None
    return found if isinstance(found, int) else None


def numbered(
    labels: Iterable[int | str | None], known: Sequence[str] = ()
) -> tuple[list[int] | None, list[str] | None]:
    """The number of each image's class, and the names if the labels are names.

    Names are numbered in the order of `known` if it has them all, else in alphabetical order. None
    unless all images have a label of the same kind, and for names that are not classes: where
    most names occur once, they are captions.
    """
    each = list(labels)
    numbers = [label for label in each if isinstance(label, int)]
    if len(numbers) == len(each):
        return numbers, None
    names = [label for label in each if isinstance(label, str)]
    classes = sorted(set(names))
    if len(names) < len(each) or len(classes) > max(1, len(each) // 2):
        return None, None
    if set(classes) <= set(known):
        classes = list(known)
    number = {name: index for index, name in enumerate(classes)}
    return [number[name] for name in names], classes
