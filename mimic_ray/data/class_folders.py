"""Labels from the folders of images: `cat/1.jpg` is a cat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from mimic_ray.data.splits import require_one_kind


def class_folders(keys: Sequence[str]) -> tuple[list[int] | None, list[str] | None]:
    """The label of each image and the names of the classes, sorted.

    Folders that contain all images, as `train` in train/cat/1.jpg and train/dog/2.jpg, are skipped.
    None if an image is beside the class folders, or if there is only one.
    """
    start = _shared(keys)
    parts = [key[start:].partition("/") for key in keys]
    classes = sorted({folder for folder, slash, _ in parts if slash})
    if len(classes) < 2 or not all(slash for _, slash, _ in parts):
        return None, None
    number = {name: index for index, name in enumerate(classes)}
    return [number[folder] for folder, _, _ in parts], classes


def require_one_split(location: str, keys: Sequence[str]) -> None:
    """Raises DataError for images in folders of several splits, as train/ and val/."""
    start = _shared(keys)
    root = f"{location.rstrip('/')}/{keys[0][:start]}".rstrip("/")
    inside = (key[start:].partition("/") for key in keys)
    require_one_kind(root, Counter(folder for folder, slash, _ in inside if slash))


def _shared(keys: Sequence[str]) -> int:
    """The length of the folders that all keys start with. `keys` are sorted or not."""
    first, last = min(keys), max(keys)  # all others are between these
    start = 0
    while (end := first.find("/", start) + 1) and last.startswith(first[:end]):
        start = end
    return start
