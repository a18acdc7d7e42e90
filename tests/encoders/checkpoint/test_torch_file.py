"""Pickles in torch files: weights are loaded, and nothing is executed."""

from __future__ import annotations

import argparse
import builtins
import collections
import datetime
import os
import pickle
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mimic_ray.base.errors import (
    DamagedCheckpointError,
    UnsafeCheckpointError,
)
from mimic_ray.encoders.checkpoint.read import read_checkpoint
from tests.encoders.checkpoint import crafted
from tests.encoders.checkpoint.crafted import refused, torch_bytes, weights


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("function", [os.system, builtins.exec, builtins.eval])
def test_a_pickle_that_runs_a_command_is_not_executed(
    tmp_path: Path, legacy: bool, function: Callable[..., Any]
) -> None:
    canary = tmp_path / "canary"
    harm = crafted.Calls(function, f"open({str(canary)!r}, 'w')")
    if function is os.system:
        harm = crafted.shell(canary)
    content = torch_bytes({"state_dict": weights(), "x": harm}, legacy)
    assert function.__name__ in refused(content, tmp_path, UnsafeCheckpointError)
    assert not canary.exists()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_plain_pickle_that_runs_a_command_is_not_executed(tmp_path: Path, protocol: int) -> None:
    canary = tmp_path / "canary"
    content = pickle.dumps({"x": crafted.shell(canary)}, protocol)
    assert "system" in refused(content, tmp_path, UnsafeCheckpointError)
    assert not canary.exists()


@pytest.mark.parametrize(
    ("thing", "named"),
    [
        (argparse.Namespace(lr=0.1), "argparse.Namespace"),
        (types.SimpleNamespace(lr=0.1), "types.SimpleNamespace"),
        (Path("/data"), "pathlib"),
        (datetime.datetime(2026, 1, 1), "datetime.datetime"),
        (collections.defaultdict(int), "collections.defaultdict"),
        (range(3), "range"),
        (slice(3), "slice"),
        (np.float64(1.0), "numpy"),
        (np.zeros(3), "numpy"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_python_objects_besides_the_weights_are_named_with_advice(
    tmp_path: Path, thing: object, named: str, legacy: bool
) -> None:
    content = torch_bytes({"state_dict": weights(), "args": thing}, legacy)
    message = refused(content, tmp_path, UnsafeCheckpointError)
    assert named in message
    assert "ask its author for the weights" in message


def test_a_pickled_network_is_refused_with_advice_to_save_the_state_dict(tmp_path: Path) -> None:
    content = torch_bytes({"model": torch.nn.Linear(2, 2)})
    assert "state_dict()" in refused(content, tmp_path, UnsafeCheckpointError)


def test_weights_saved_on_a_gpu_are_read_on_the_cpu(tmp_path: Path) -> None:
    moved = crafted.with_pickle(
        lambda data: data.replace(crafted.text("cpu"), crafted.text("cuda:0"))
    )
    assert b"cuda:0" in moved
    (tmp_path / "file").write_bytes(moved)
    found = read_checkpoint(tmp_path / "file").groups[()]
    assert all(torch.equal(found[key], value) for key, value in weights().items())


@pytest.mark.parametrize(
    "content",
    [
        crafted.with_record(lambda data: data[:-4]),
        crafted.with_record(lambda data: data + bytes(4)),
        crafted.with_pickle(lambda data: data.replace(crafted.text("0"), crafted.text("../../0"))),
        torch_bytes({"w": crafted.view((100,), (1,))}),
        torch_bytes({"w": crafted.view((-1,), (1,))}),
        torch_bytes({"w": crafted.view((2,), (-1,))}),
    ],
    ids=["short-record", "long-record", "storage-key", "long-view", "negative-size", "stride"],
)
def test_records_and_views_that_do_not_match_are_refused(tmp_path: Path, content: bytes) -> None:
    refused(content, tmp_path, DamagedCheckpointError)
