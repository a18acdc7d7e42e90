"""The layouts of keys, beside its own, that each encoder is read from. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import cache

from mimic_ray.weight_files.key_styles import styles_of
from mimic_ray.weight_files.publisher_keys import PUBLISHERS, PublisherKeys, template

# The reader tries a layout with every encoder that has the keys. These are published for some only:
# layout -> patterns of names.
_HUGGING_FACE_VIT = ("vit_*", "deit_*", "dino_*", "mae_*", "moco_vit_*", "ijepa_*")
_PUBLISHED_FOR = {
    "the children of a torchvision ResNet in one nn.Sequential (lightly and others)": (
        *("resnet*", "resnext*", "wide_resnet*", "badencoder_imagenet"),
    ),
    "Hugging Face ResNet": ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    "Detectron2 ResNet (also of MoCo's converted files)": (
        *("resnet[0-9][0-9]", "resnet1[0-9][0-9]", "resnext*", "wide_resnet*"),
    ),
    "kuangliu/pytorch-cifar and SupContrast": ("resnet*_cifar", "resnet18", "resnet34", "resnet50"),
    "Hugging Face ViT": _HUGGING_FACE_VIT,
    "Hugging Face ViT (transformers 5)": _HUGGING_FACE_VIT,
    "Hugging Face DINOv2": ("dinov2_*",),
    "Hugging Face DINOv3": ("dinov3_*[!m]",),  # not those of timm's files
    "DINOv2 with blocks in chunks": ("dinov2_*",),
    "DINOv2": ("dinov2_g*",),
    "DINOv3": ("dinov3_*[!m]",),
    "DeiT III": ("deit3_*",),
}


def layouts(name: str, keys: Iterable[str]) -> list[str]:
    """Names of layouts that an encoder with these keys is read from and that are published."""
    keys = [*keys]
    found = [style.name for style in styles_of(keys) if style.name]
    found += _published(frozenset(map(_path, keys)))
    return [
        each
        for each in dict.fromkeys(found)
        if any(fnmatchcase(name, pattern) for pattern in _PUBLISHED_FOR.get(each, ("*",)))
    ]


@cache
def _published(paths: frozenset[str]) -> list[str]:
    """Layouts of the table. The blocks of a network and its sizes share their paths."""
    return [publisher.name for publisher in PUBLISHERS if _has(publisher, paths)]


def _has(publisher: PublisherKeys, paths: frozenset[str]) -> bool:
    """Whether the encoder's keys are those that the table renames: one of them has the sign, and
    none that is left as it is lies in a module of which others are renamed."""
    theirs = {path: publisher.their_name(path) for path in paths}
    if publisher.sign not in {_path(new) for new in theirs.values()}:
        return False
    moved = {_first(path) for path, new in theirs.items() if _first(new) != _first(path)}
    return not moved & {_first(path) for path, new in theirs.items() if new == path}


def _path(key: str) -> str:
    """The key with `*` for each number."""
    return ".".join(map(template, key.split(".")))


def _first(path: str) -> str:
    return path.partition(".")[0]
