"""A randomly damaged checkpoint gives weights or a MimicError, never a crash or a hang."""

from __future__ import annotations

import argparse
import collections
import pickle
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file
from torch import nn

from mimic_ray.base.errors import CheckpointError
from mimic_ray.weight_files import sandbox
from mimic_ray.weight_files.read import read_checkpoint
from tests.weight_files import crafted
from tests.weight_files.crafted import old_tar, scripted, torch_bytes, weights, with_pickle

Mutate = Callable[[bytes], bytes]


def in_pickle(content: bytes) -> Callable[[Mutate], bytes]:
    """Damages data.pkl with a correct checksum: the check of the zip refuses it otherwise."""
    return lambda mutate: with_pickle(mutate, content)


def in_file(content: bytes) -> Callable[[Mutate], bytes]:
    return lambda mutate: mutate(content)


class Hostile(nn.Module):
    """A whole network beside settings, objects and a call that creates a file."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))


def training(canary: Path) -> dict[str, object]:
    return {
        "state_dict": weights(),
        "epoch": 3,
        "args": argparse.Namespace(lr=0.1, data=Path("/data")),
        "best": np.float64(0.5),
        "counts": collections.defaultdict(int, a=1),
        "harm": crafted.shell(canary),
        "mask": torch.eye(2).to_sparse(),
    }


def plain() -> dict[str, object]:
    return {"state_dict": weights(), "epoch": 3}


# Twelve files, made from the path of the canary; the functions that they give damage them.
KINDS: dict[str, Callable[[Path], Callable[[Mutate], bytes]]] = {
    "zip": lambda _: in_file(torch_bytes(plain())),
    "pickle": lambda _: in_pickle(torch_bytes(plain())),
    "legacy": lambda _: in_file(torch_bytes(plain(), legacy=True)),
    "training": lambda canary: in_pickle(torch_bytes(training(canary))),
    "training-legacy": lambda canary: in_file(torch_bytes(training(canary), legacy=True)),
    "network": lambda _: in_pickle(torch_bytes({"model": Hostile()})),
    "network-legacy": lambda _: in_file(torch_bytes(Hostile(), legacy=True)),
    "torchscript": lambda _: in_pickle(scripted(nn.Sequential(nn.Conv2d(1, 2, 1)))),
    "plain-pickle": lambda canary: in_file(pickle.dumps(training(canary), 4)),
    "arrays": lambda _: in_file(
        pickle.dumps({"model": {key: weight.numpy() for key, weight in weights().items()}})
    ),
    "old-tar": lambda _: in_file(old_tar(weights())),
    "safetensors": lambda _: in_file(save(weights(), {"format": "pt"})),
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


def outcome(path: Path, exported: bool) -> str:
    """ "read", or the name of our error. Any other exception fails the test."""
    try:
        found = read_checkpoint(path)
        if found.format != "safetensors" and exported:
            export(path, found.format)
    except CheckpointError as error:
        return type(error).__name__
    return "read"


def export(path: Path, file_format: str) -> None:
    """Writes the file again and reads it with torch, whose own reader takes no objects. A plain
    pickle is only looked at."""
    with sandbox.working_folder() as folder, path.open("rb") as file:
        save_file({}, folder / sandbox.TENSORS)
        sandbox.run("write", file, folder, name="file", format=file_format, targets=[])
        if file_format == "pickle":
            assert not read_checkpoint(folder / sandbox.WRITTEN).contents.finding()
        else:
            torch.load(folder / sandbox.WRITTEN, weights_only=True)


def outcomes(kind: str, seeds: range, folder: Path) -> set[str]:
    canary = folder / "canary"
    damage = KINDS[kind](canary)
    found = set()
    for seed in seeds:
        (folder / "file").write_bytes(damage(mutation(seed)))
        found.add(outcome(folder / "file", exported=seed % 5 == 0))
    assert not canary.exists()
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_read_or_refused(kind: str, tmp_path: Path) -> None:
    found = outcomes(kind, range(25), tmp_path)
    assert found & {"DamagedCheckpointError", "NotACheckpointError"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_damaged_files_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    assert len(outcomes(kind, range(1000, 2000), tmp_path)) > 1
