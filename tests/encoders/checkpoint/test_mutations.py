"""Random damage to a small checkpoint: weights or one of our errors, never a crash or a hang."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import save

from mimic_ray.base.errors import CheckpointError
from mimic_ray.encoders.checkpoint.read import read_checkpoint
from tests.encoders.checkpoint.crafted import torch_bytes, weights, with_pickle

Mutate = Callable[[bytes], bytes]

# Damage inside data.pkl gets a right checksum again, or the zip walk would stop all of it.
KINDS: dict[str, Callable[[Mutate], bytes]] = {
    "zip": lambda mutate: mutate(torch_bytes({"state_dict": weights(), "epoch": 3})),
    "pickle": lambda mutate: with_pickle(mutate, torch_bytes({"state_dict": weights()})),
    "legacy": lambda mutate: mutate(torch_bytes({"state_dict": weights(), "epoch": 3}, True)),
    "safetensors": lambda mutate: mutate(save(weights(), {"format": "pt"})),
}


def mutation(seed: int) -> Mutate:
    """One to eight places overwritten, cut out or put in."""
    draw = random.Random(seed)

    def mutate(content: bytes) -> bytes:
        changed = bytearray(content)
        for _ in range(draw.randint(1, 8)):
            place = draw.randrange(len(changed))
            kind = draw.choice(["bit", "byte", "byte", "cut", "insert"])
            if kind == "bit":
                changed[place] ^= 1 << draw.randrange(8)
            elif kind == "byte":
                changed[place] = draw.randrange(256)
            elif kind == "cut":
                del changed[place : place + draw.choice([1, 1, 4, 64])]
            else:
                changed[place:place] = draw.randbytes(draw.choice([1, 1, 4, 64]))
        return bytes(changed)

    return mutate


def outcome(path: Path) -> str:
    """ "read", or the name of the error. Any other exception goes on and fails the test."""
    try:
        read_checkpoint(path)
    except CheckpointError as error:
        return type(error).__name__
    return "read"


def outcomes(kind: str, seeds: range, path: Path) -> set[str]:
    met = set()
    for seed in seeds:
        path.write_bytes(KINDS[kind](mutation(seed)))
        met.add(outcome(path))
    return met


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_read_or_refused(kind: str, tmp_path: Path) -> None:
    met = outcomes(kind, range(80), tmp_path / "file")
    assert "DamagedCheckpointError" in met


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_damaged_files_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    assert len(outcomes(kind, range(1000, 2000), tmp_path / "file")) > 1
