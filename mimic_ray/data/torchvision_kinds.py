"""The classification sets of torchvision: their splits, and where each keeps labels and files.

Left out: LSUN, which needs the package lmdb, CelebA, whose images have 40 labels each, and sets for
detection, segmentation and video.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TorchvisionKind:
    """`splits`: the arguments of each, the default first.

    `labels` and `files` are attributes, with [n] for index n of each item; "" if there is none.
    Without files, images are the decoded ones that the data set gives.
    """

    splits: Mapping[str, Mapping[str, Any]]
    labels: str
    files: str = ""


def _named(*names: str) -> dict[str, dict[str, Any]]:
    return {name: {"split": name} for name in names}


_TRAIN_FLAG = {"train": {"train": True}, "test": {"train": False}}
_WHOLE: dict[str, dict[str, Any]] = {"all": {}}
_SAMPLES = {"labels": "_samples[1]", "files": "_samples[0]"}
_LISTS = {"labels": "_labels", "files": "_image_files"}

# CIFAR's files are pickles; torchvision reads them only if their MD5 sums are the official ones.
KINDS = {
    "CIFAR10": TorchvisionKind(_TRAIN_FLAG, "targets"),
    "CIFAR100": TorchvisionKind(_TRAIN_FLAG, "targets"),
    "CLEVRClassification": TorchvisionKind(_named("train", "val", "test"), **_LISTS),
    "Caltech101": TorchvisionKind(_WHOLE, "y"),
    "Caltech256": TorchvisionKind(_WHOLE, "y"),
    "Country211": TorchvisionKind(_named("train", "valid", "test"), "samples[1]", "samples[0]"),
    "DTD": TorchvisionKind(_named("train", "val", "test"), **_LISTS),
    "EMNIST": TorchvisionKind(
        {
            f"{name}-{part}": {"split": name, "train": part == "train"}
            for name in ("balanced", "byclass", "bymerge", "letters", "digits", "mnist")
            for part in ("train", "test")
        },
        "targets",
    ),
    "EuroSAT": TorchvisionKind(_WHOLE, "samples[1]", "samples[0]"),
    "FER2013": TorchvisionKind(_named("train", "test"), "_samples[1]"),
    "FGVCAircraft": TorchvisionKind(_named("trainval", "train", "val", "test"), **_LISTS),
    "FashionMNIST": TorchvisionKind(_TRAIN_FLAG, "targets"),
    "Flowers102": TorchvisionKind(_named("train", "val", "test"), **_LISTS),
    "Food101": TorchvisionKind(_named("train", "test"), **_LISTS),
    "GTSRB": TorchvisionKind(_named("train", "test"), **_SAMPLES),
    "INaturalist": TorchvisionKind(
        {
            name: {"version": name}
            for name in (
                *("2021_train", "2021_train_mini", "2021_valid"),
                *("2019", "2018", "2017"),
            )
        },
        "index[0]",
    ),
    "ImageNet": TorchvisionKind(_named("train", "val"), "samples[1]", "samples[0]"),
    "Imagenette": TorchvisionKind(
        {
            name + end: {"split": name, "size": size}
            for size, end in (("full", ""), ("320px", "-320px"), ("160px", "-160px"))
            for name in ("train", "val")
        },
        **_SAMPLES,
    ),
    "KMNIST": TorchvisionKind(_TRAIN_FLAG, "targets"),
    "LFWPeople": TorchvisionKind(_named("10fold", "train", "test"), "targets", "data"),
    "MNIST": TorchvisionKind(_TRAIN_FLAG, "targets"),
    "Omniglot": TorchvisionKind(
        {"background": {"background": True}, "evaluation": {"background": False}},
        "_flat_character_images[1]",
    ),
    "OxfordIIITPet": TorchvisionKind(_named("trainval", "test"), "_labels", "_images"),
    "PCAM": TorchvisionKind(_named("train", "val", "test"), ""),
    "Places365": TorchvisionKind(
        {
            name + end: {"split": name, "small": bool(end)}
            for end in ("", "-small")
            for name in ("train-standard", "train-challenge", "val")
        },
        "targets",
        "imgs[0]",
    ),
    "QMNIST": TorchvisionKind(
        {name: {"what": name} for name in ("train", "test", "test10k", "test50k", "nist")},
        "targets[0]",
    ),
    "RenderedSST2": TorchvisionKind(_named("train", "val", "test"), **_SAMPLES),
    # The only one that would download without being asked.
    "SEMEION": TorchvisionKind({"all": {"download": False}}, "labels"),
    "STL10": TorchvisionKind(_named("train", "test", "unlabeled"), "labels"),
    "SUN397": TorchvisionKind(_WHOLE, **_LISTS),
    "SVHN": TorchvisionKind(_named("train", "test", "extra"), "labels"),
    "StanfordCars": TorchvisionKind(_named("train", "test"), **_SAMPLES),
    "USPS": TorchvisionKind(_TRAIN_FLAG, "targets"),
}
