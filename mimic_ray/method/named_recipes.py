"""The recipes that come with the package, as the tables of their TOML files."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

RECIPES = Path(__file__).resolve().parents[1] / "configs"

# Between CIFAR's and STL's sizes, for which `default` was found, and ImageNet's.
_LARGE_SIDE = 96


def recipe_names() -> list[str]:
    """Their names."""
    return sorted(file.stem for file in RECIPES.glob("*.toml"))


def recipe_for(side: int | None) -> str:
    """What "auto" means: "imagenet" for images of 96 pixels and more, else "default"."""
    return "imagenet" if side and side >= _LARGE_SIDE else "default"


def recipe_tables(name: str) -> dict[str, Any]:
    """The tables of one of them, as in its file."""
    return tomllib.loads((RECIPES / f"{name}.toml").read_text(encoding="utf-8"))
