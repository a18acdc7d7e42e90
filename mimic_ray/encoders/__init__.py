"""Encoders: architectures, the files that they are read from, and the registry of their names."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """`registry` is `encoder_registry`, imported on first use because it imports torch."""
    if name == "registry":
        from mimic_ray.encoders import encoder_registry

        return encoder_registry
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
