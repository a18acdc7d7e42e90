"""Tensors are found in any content, in bounded time."""

from __future__ import annotations

import argparse
import collections
import time
from pathlib import Path

import pytest
import torch

from mimic_ray.base.errors import NotACheckpointError, UnsafeCheckpointError
from mimic_ray.weight_files.read import read_checkpoint
from tests.weight_files import crafted
from tests.weight_files.crafted import refused, torch_bytes, weights


def test_every_group_of_named_tensors_is_found_with_notes_on_the_rest(tmp_path: Path) -> None:
    content = {
        "epoch": 160,
        "arch": "resnet\x1b[31m",
        "nested": {"model": weights()},
        "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": []},
    }
    (tmp_path / "file").write_bytes(torch_bytes(content))
    checkpoint = read_checkpoint(tmp_path / "file")
    assert list(checkpoint.groups) == [("nested", "model")]
    found = checkpoint.groups["nested", "model"]
    assert list(found) == list(weights())
    assert all(torch.equal(found[key], value) for key, value in weights().items())
    assert checkpoint.notes == {
        "epoch": "160",
        "arch": "resnet\\x1b[31m",
        "optimizer": "dict of 2, 1 tensor",
    }


def test_harmless_types_are_skipped(tmp_path: Path) -> None:
    beside = {
        "ordered": collections.OrderedDict(a=1),
        "counter": collections.Counter("aab"),
        "set": {1, 2},
        "bytes": b"abc",
        "bytearray": bytearray(b"abc"),
        "complex": 1 + 2j,
        "size": torch.Size([1, 2]),
        "dtype": torch.float16,
        "device": torch.device("cpu"),
        "none": None,
        "huge": 2**1000,
        "rng": [torch.get_rng_state()],
    }
    parameter = torch.nn.Parameter(torch.ones(2))
    (tmp_path / "file").write_bytes(torch_bytes({"model": {"p": parameter}, **beside}))
    checkpoint = read_checkpoint(tmp_path / "file")
    assert torch.equal(checkpoint.groups["model",]["p"], torch.ones(2))
    assert checkpoint.notes.keys() == beside.keys()
    assert checkpoint.notes["huge"] == "a huge integer"


@pytest.mark.parametrize(
    "thing",
    [
        crafted.endless_tuple(),
        [0] * 2_000_000,
        [crafted.Calls(torch.UntypedStorage, (1 << 31) - 1)],
        [crafted.Calls(bytearray, (1 << 31) - 1)],
        crafted.view((1 << 20, 1 << 20), (0, 0)),
        torch.empty(1 << 40, device="meta"),
        list(torch.zeros(1, 1000).expand(9, 1000)),
        torch.full((3,), float("inf")),
    ],
    ids=["endless", "many", "storage", "bytearray", "stride-0", "meta", "nine-views", "inf"],
)
def test_content_beside_the_weights_costs_nothing(tmp_path: Path, thing: object) -> None:
    (tmp_path / "file").write_bytes(torch_bytes({"model": weights(), "w": thing}))
    start = time.monotonic()
    found = read_checkpoint(tmp_path / "file")
    assert found.groups["model",].keys() == weights().keys()
    assert time.monotonic() - start < 5


def test_views_that_claim_more_than_the_file_are_refused(tmp_path: Path) -> None:
    base = torch.zeros(2000)
    views = {str(start): base[start : start + 1000] for start in range(1000)}
    refused(torch_bytes(views), tmp_path, UnsafeCheckpointError)


def test_deeply_nested_lists_are_no_weights(tmp_path: Path) -> None:
    refused(crafted.deep_list(200_000), tmp_path, NotACheckpointError)


def test_the_attributes_of_a_dictionary_are_bounded_too(tmp_path: Path) -> None:
    ordered = collections.OrderedDict(weights())
    ordered.hidden = crafted.endless_tuple()  # type: ignore[attr-defined]
    (tmp_path / "file").write_bytes(torch_bytes(ordered))
    assert read_checkpoint(tmp_path / "file").groups[()].keys() == weights().keys()


def test_arguments_that_tell_the_architecture_are_notes(tmp_path: Path) -> None:
    arguments = argparse.Namespace(arch="vit_small", lr=0.1, moco_m=0.99, model=[1, 2])
    content = {"state_dict": weights(), "args": arguments}
    (tmp_path / "file").write_bytes(torch_bytes(content))
    notes = read_checkpoint(tmp_path / "file").notes
    assert (notes["args.arch"], notes["args.moco_m"]) == ("vit_small", "0.99")
    assert notes.keys() == {"args", "args.arch", "args.moco_m"}
