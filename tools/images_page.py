"""The tables of the page of image sources: what is read by its name, and what is not."""

from __future__ import annotations

from collections.abc import Iterable

from mimic_ray.data.archives import CONTAINERS, FORMATS
from mimic_ray.data.names import IMAGE_FORMATS, UNREAD_IMAGES
from mimic_ray.data.samples import LABEL_BYTES, LABEL_KEYS
from mimic_ray.data.table_images import IMAGE_COLUMNS, LABEL_COLUMNS
from mimic_ray.data.torchvision_kinds import KINDS
from tools.recipe_page import row


def page() -> str:
    """Image formats, names of labels and columns, other formats, data sets of torchvision."""
    lines = ["## Image formats", "", "| format | suffixes |", "|---|---|"]
    for form in dict.fromkeys(IMAGE_FORMATS.values()):
        lines.append(row([form, _code(s for s, each in IMAGE_FORMATS.items() if each == form)]))
    lines += [
        "",
        "A file with no suffix, or with one that says nothing, is read if it begins as one of "
        f"these. Not read: {_code(sorted(UNREAD_IMAGES))}. Convert them to PNG or JPEG.",
        "",
        "## Labels and columns",
        "",
        "| where | names, the first that is there counts |",
        "|---|---|",
        row(["files beside an image", _code(LABEL_BYTES)]),
        row(["keys in a `.json`", _code(LABEL_KEYS)]),
        row(["columns of labels in a table", _code(LABEL_COLUMNS)]),
        row(["columns of images in a table", _code(IMAGE_COLUMNS)]),
        "",
        "## What is not read",
        "",
        "| file | what to type, or to do |",
        "|---|---|",
    ]
    for suffixes, _, what, command in FORMATS:
        if suffixes != (".zip",):
            lines.append(row([f"{what}: {_code(suffixes)}", f"`{command.format('FILE')}`"]))
    kinds = dict.fromkeys(CONTAINERS.values())
    lines.append(row([", ".join(kinds), "write the images as files into a folder"]))
    lines += ["", "## Data sets of torchvision", ""]
    lines += ["| name | splits, the default first |", "|---|---|"]
    lines += [row([f"`{name}`", _code(kind.splits)]) for name, kind in KINDS.items()]
    return "\n".join(lines)


def _code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)
