"""Torch files: weights are read, whatever lies beside them, and nothing is executed."""

from __future__ import annotations

import argparse
import builtins
import collections
import os
import pickle
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
from mimic_ray.weight_files.read import read_checkpoint
from tests.weight_files import crafted
from tests.weight_files.crafted import refused, torch_bytes, weights


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
    (tmp_path / "file").write_bytes(content)
    found = read_checkpoint(tmp_path / "file")
    assert found.groups.keys() == {("state_dict",)}
    assert function.__name__ in found.contents.finding()
    assert not canary.exists()


@pytest.mark.parametrize("protocol", range(2, 6))
def test_a_plain_pickle_that_runs_a_command_is_not_executed(tmp_path: Path, protocol: int) -> None:
    canary = tmp_path / "canary"
    content = pickle.dumps({"x": crafted.shell(canary)}, protocol)
    assert "posix.system('touch" in refused(content, tmp_path, UnsafeCheckpointError)
    assert not canary.exists()


@pytest.mark.parametrize("protocol", range(1, 6))
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_files_of_every_protocol_are_read(tmp_path: Path, legacy: bool, protocol: int) -> None:
    content = {"state_dict": weights(), "args": argparse.Namespace(lr=0.1)}
    path, zipped = tmp_path / "file", not legacy
    torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    found = read_checkpoint(path)
    read = found.groups["state_dict",]
    assert all(torch.equal(read[key], value) for key, value in weights().items())
    assert found.contents.harmless == ["argparse.Namespace"]


def test_a_file_of_commands_alone_is_refused(tmp_path: Path) -> None:
    content = torch_bytes({"x": crafted.shell(tmp_path / "canary")})
    message = refused(content, tmp_path, UnsafeCheckpointError)
    assert "has no weights. Loading this file the ordinary way would call posix.system(" in message


def test_objects_of_training_programs_are_no_finding(tmp_path: Path) -> None:
    beside = [
        argparse.Namespace(lr=0.1),
        np.float64(1),
        Path("/data"),
        collections.defaultdict(int),
    ]
    (tmp_path / "file").write_bytes(torch_bytes({"model": weights(), "args": beside}))
    contents = read_checkpoint(tmp_path / "file").contents
    assert not contents.finding()
    assert "argparse.Namespace" in contents.harmless


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
