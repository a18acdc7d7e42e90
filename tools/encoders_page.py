"""The tables of the reference page of encoders, from those that the commands use."""

from __future__ import annotations

from mimic_ray.encoders.normalisation import NORMALISATIONS
from mimic_ray.weight_files.catalogue import catalogue
from tools.recipe_page import row


def encoders() -> str:
    lines = [
        "| name | parameters | features | side | mean and std | network | read from |",
        "|---|--:|--:|--:|---|---|---|",
    ]
    for entry in catalogue():
        numbers = entry.size(), str(entry.feature_width), str(entry.input_size)
        statistics = entry.normalisation or f"{entry.mean}, {entry.std}"
        cells = [f"`{entry.name}`", *numbers, statistics, entry.network(), entry.source()]
        lines.append(row(cells))
    return "\n".join(lines)


def key_names() -> str:
    """The layouts of keys beside the encoders' own, with the encoders that are read from them."""
    encoders_of: dict[str, list[str]] = {}
    for entry in catalogue():
        for layout in entry.layouts:
            encoders_of.setdefault(layout, []).append(f"`{entry.name}`")
    lines = ["| key names | encoders |", "|---|---|"]
    lines += [row([layout, " ".join(names)]) for layout, names in encoders_of.items()]
    return "\n".join(lines)


def normalisations() -> str:
    lines = ["| `--normalise` | mean | std |", "|---|---|---|"]
    for name, statistics in NORMALISATIONS.items():
        cells = (", ".join(map(str, each)) for each in statistics)
        lines.append(row([f"`{name}`", *cells]))
    return "\n".join(lines)
