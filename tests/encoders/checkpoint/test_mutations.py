"""A randomly damaged checkpoint gives weights or a MimicError, never a crash or a hang."""

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

# Damaged data.pkl gets a correct checksum, because the check of the zip would refuse it otherwise.
KINDS: dict[str, Callable[[Mutate], bytes]] = {
    "zip": lambda mutate: mutate(torch_bytes({"state_dict": weights(), "epoch": 3})),
    "pickle": lambda mutate: with_pickle(mutate, torch_bytes({"state_dict": weights()})),
    "legacy": lambda mutate: mutate(torch_bytes({"state_dict": weights(), "epoch": 3}, True)),
    "safetensors": lambda mutate: mutate(save(weights(), {"format": "pt"})),
}


def mutation(seed: int) -> Mutate:
    """One to eight bytes or ranges overwritten, removed or inserted."""
    draw = random.Random(seed)

    def mutate(content: bytes) -> bytes:
        changed = bytearray(content)
        for _ in range(draw.randint(1, 8)):
            offset = draw.randrange(len(changed))
            kind = draw.choice(["bit", "byte", "byte", "remove", "insert"])
            if kind == "bit":
                changed[offset] ^= 1 << draw.randrange(8)
            elif kind == "byte":
                changed[offset] = draw.randrange(256)
            elif kind == "remove":
                del changed[offset : offset + draw.choice([1, 1, 4, 64])]
            else:
                changed[offset:offset] = draw.randbytes(draw.choice([1, 1, 4, 64]))
        return bytes(changed)

    return mutate


def outcome(path: Path) -> str:
    """ "read", or the name of our error. Any other exception fails the test."""
    try:
        read_checkpoint(path)
    except CheckpointError as error:
        return type(error).__name__
    return "read"


def outcomes(kind: str, seeds: range, path: Path) -> set[str]:
    found = set()
    for seed in seeds:
        path.write_bytes(KINDS[kind](mutation(seed)))
        found.add(outcome(path))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_read_or_refused(kind: str, tmp_path: Path) -> None:
    found = outcomes(kind, range(80), tmp_path / "file")
    assert "DamagedCheckpointError" in found


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_damaged_files_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    assert len(outcomes(kind, range(1000, 2000), tmp_path / "file")) > 1
