"""The recipes that come with the package, as the tables of their TOML files."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

RECIPES = Path(__file__).resolve().parents[1] / "configs"

# Between CIFAR's and STL's sizes, for which `default` was found, and ImageNet's.
_LARGE_SIDE = 96


def recipe_names() -> list[str]:
    """Their names."""
    return sorted(file.stem for file in RECIPES.glob("*.toml"))


def recipe_for(side: int, has_batch_norm: Callable[[], bool]) -> str:
    """What "auto" means for a network for images of `side` pixels.

    From 96 pixels on "imagenet", below that "default" with batch norm and "layer_norm" without.

    A large network is not asked for batch norm, and so need not be built.
    """
    if side >= _LARGE_SIDE:
        return "imagenet"
    return "default" if has_batch_norm() else "layer_norm"


def recipe_tables(name: str) -> dict[str, Any]:
    """The tables of one of them, as in its file."""
    return tomllib.loads((RECIPES / f"{name}.toml").read_text(encoding="utf-8"))
