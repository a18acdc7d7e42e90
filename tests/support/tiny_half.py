"""tiny_resnet with other statistics of the input: its keys and shapes are the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from mimic_ray.encoders.encoder import Encoder
from mimic_ray.encoders.encoder_registry import ENCODERS, build
from mimic_ray.encoders.normalisation import HALF
from mimic_ray.weight_files.known_layouts import known_layouts


def tiny_half(size: int = 32) -> Encoder:
    encoder = build(f"tiny_resnet@{size}")
    return encoder.with_spec(replace(encoder.spec, mean=HALF.mean, std=HALF.std))


@pytest.fixture
def two_that_fit(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """tiny_half is a built-in encoder, so a file of tiny_resnet fits two that differ."""
    members = {"tiny_half": f"{__name__}:tiny_half", **ENCODERS._members}
    monkeypatch.setattr(ENCODERS, "_members", members)
    known_layouts.cache_clear()
    yield
    known_layouts.cache_clear()
