"""Images of several kinds in one folder or file: the user must say which are meant.

Training, validation and test images; photographs and the masks that belong to them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from mimic_ray.base.errors import DataError
from mimic_ray.base.text import count, plain

_WORDS = {"train": "train", "training": "train", "val": "val", "valid": "val"}
_WORDS |= {"validation": "val", "test": "test", "testing": "test"}

_ROLES = dict.fromkeys(("images", "image", "imgs", "jpegimages", "photos", "rgb"), "photographs")
_ROLES |= dict.fromkeys(
    (
        *("masks", "annotations", "labels", "segmentation", "segmentations", "segmentationclass"),
        *("segmentationobject", "groundtruth", "ground_truth", "gt", "trimaps", "depth", "edges"),
    ),
    "masks",
)
_FILLERS = {"", "final", "image", "images", "img", "imgs", "set", "data", "standard", "small"}


def require_one_split(folder: str, names: Iterable[str], what: str) -> None:
    """Raises DataError for files of several splits, as train-000.tar and val-000.tar.

    A split is a word of a name: cc3m-train-0000.tar. Files without such a word count to none.
    """
    found: dict[str, list[str]] = {}
    for name in names:
        words = (_WORDS.get(word) for word in re.split(r"[^a-z]+", name.lower()))
        if split := next(filter(None, words), None):
            found.setdefault(split, []).append(name)
    if len(found) > 1:
        listed = " and ".join(f"{count(len(each), what)} of {key}" for key, each in found.items())
        raise DataError(
            f"{folder} contains {listed}. Choose one: "
            f"{' or '.join(_pattern(folder, each) for each in found.values())}."
        )


def require_one_kind(root: str, folders: Mapping[str, int]) -> None:
    """Raises DataError for folders of several splits, and for masks beside photographs.

    `folders` have their numbers of images. One split alone is not refused: a class can be called
    "train".
    """
    found = {name: split for name in folders if (split := _split_of_folder(name))}
    if len(set(found.values())) < 2:
        found = {name: kind for name in folders if (kind := _ROLES.get(name.lower()))}
    if len(set(found.values())) > 1:
        listed = " and ".join(f"{plain(name)} ({count(folders[name], 'image')})" for name in found)
        choices = " or ".join(plain(os.path.join(root, name)) for name in found)  # noqa: PTH118
        raise DataError(f"{root} contains {listed}. Choose one: {choices}.")


def _split_of_folder(name: str) -> str:
    """The split of train, val2017, Final_Test, test_images; "" for test_tube, which is a class."""
    words = [word for word in re.split(r"[^a-z]+", name.lower()) if word not in _FILLERS]
    return _WORDS.get(words[0], "") if len(words) == 1 else ""


def _pattern(folder: str, names: Sequence[str]) -> str:
    """The pattern of these files: "train-*.tar"."""
    start = os.path.commonprefix(names).rstrip("0123456789")  # noqa: RUF071 - of names, not paths
    suffix = PurePosixPath(names[0]).suffix
    return f'"{folder.rstrip("/")}/{plain(names[0] if len(names) == 1 else f"{start}*{suffix}")}"'
