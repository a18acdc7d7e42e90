"""Labels of image files: from their folders, from files beside them, or from GTSRB's table."""

from __future__ import annotations

import csv
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import PurePosixPath

from mimic_ray.data.class_folders import class_folders
from mimic_ray.data.names import IMAGE_LIMIT_BYTES, suffix_of
from mimic_ray.data.samples import LABEL_BYTES, label_in, numbered

FileLabels = tuple[list[int] | None, list[str] | None]
ReadSmall = Callable[[str, int], bytes]


def labels_of(images: Sequence[str], others: Collection[str], read: ReadSmall) -> FileLabels:
    """The label of each image, and the names of the classes if they have some.

    An image's label is its folder (`class_folders`); else what a `.cls`, `.json` or `.txt` of the
    same name says; else its ClassId in a `GT-*.csv` of its folder, as GTSRB has it. `read(name,
    most)` is the content of one of the `others`, nothing above `most` bytes.
    """
    by_folder = class_folders(images)
    if by_folder[0] is not None:
        return by_folder
    beside = numbered(_beside(images, others, read))
    return numbered(_by_table(images, others, read)) if beside[0] is None else beside


def without_labels(others: Iterable[str], images: Iterable[str]) -> list[str]:
    """The other files that are not the label or the caption of an image of the same name."""
    stems = {_stem(name) for name in images}
    return [
        name for name in others if suffix_of(name) not in LABEL_BYTES or _stem(name) not in stems
    ]


def _beside(
    images: Sequence[str], others: Collection[str], read: ReadSmall
) -> Iterator[int | str | None]:
    for image in images:
        stem = _stem(image)
        labels = (
            label_in(suffix, read(f"{stem}.{suffix}", most))
            for suffix, most in LABEL_BYTES.items()
            if f"{stem}.{suffix}" in others
        )
        yield next((label for label in labels if label is not None), None)


def _stem(name: str) -> str:
    """`a/1` of `a/1.jpg`, and of the image `a/1`, which has no suffix."""
    folder, slash, last = name.rpartition("/")
    return folder + slash + (last.rpartition(".")[0] or last)


def _by_table(
    images: Sequence[str], others: Collection[str], read: ReadSmall
) -> Iterator[int | None]:
    known: dict[str, int] = {}
    for name in others:
        path = PurePosixPath(name)
        if path.name.startswith("GT-") and path.suffix == ".csv":
            lines = read(name, IMAGE_LIMIT_BYTES).decode(errors="replace").splitlines()
            for row in csv.DictReader(lines, delimiter=";"):
                image, label = row.get("Filename"), row.get("ClassId") or ""
                if image and label.isdecimal():
                    known[str(path.parent / image)] = int(label)
    return (known.get(image) for image in images)
