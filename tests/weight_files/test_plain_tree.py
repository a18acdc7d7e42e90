"""Networks become state dictionaries, settings become dictionaries, calls are dropped."""

from __future__ import annotations

import argparse
import collections
import datetime
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mimic_ray.base.errors import UnsafeCheckpointError
from mimic_ray.weight_files.inert import Placeholder, TensorRef
from mimic_ray.weight_files.plain_tree import LEVELS, plain_tree
from mimic_ray.weight_files.read import read_checkpoint
from tests.weight_files import crafted
from tests.weight_files.crafted import loaded, scripted, torch_bytes, weights


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.visual = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.scale = nn.Parameter(torch.ones(()))
        self.again = self.visual[0]
        self.register_buffer("hidden", torch.ones(3), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.visual(x) * self.scale


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    return [*found] == [*expected] and all(torch.equal(found[key], expected[key]) for key in found)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_pickled_network_gives_its_state_dict(tmp_path: Path, legacy: bool) -> None:
    net = Net()
    (tmp_path / "file").write_bytes(torch_bytes({"model": nn.DataParallel(net)}, legacy))
    found = read_checkpoint(tmp_path / "file")
    assert same(found.groups["model",], {f"module.{k}": v for k, v in net.state_dict().items()})
    assert any("test_plain_tree.Net" in name for name in found.contents.unknown)


def test_torchscript_gives_its_weights_by_module(tmp_path: Path) -> None:
    net = Net()
    del net.again  # TorchScript does not share modules' names
    (tmp_path / "file").write_bytes(scripted(net))
    found = read_checkpoint(tmp_path / "file")
    expected = net.state_dict()
    assert found.groups[()].keys() - {"hidden"} == expected.keys()
    assert all(torch.equal(found.groups[()][key], value) for key, value in expected.items())
    assert found.contents.harmless == ["TorchScript"]
    assert not found.contents.finding()


@pytest.mark.parametrize(
    ("thing", "kept"),
    [
        (
            argparse.Namespace(lr=0.1, inner=argparse.Namespace(a=[1])),
            {"lr": 0.1, "inner": {"a": [1]}},
        ),
        (types.SimpleNamespace(lr=0.1), {"lr": 0.1}),
        (collections.defaultdict(int, a=1), {"a": 1}),
        (collections.Counter("aab"), collections.Counter("aab")),
        ([1, Path("/data"), range(3)], [1, None, None]),
        ((1, np.complex128(1.0)), (1, None)),
        ([np.float64(0.1), np.float32(0.5), np.int64(-3), np.bool_(True)], [0.1, 0.5, -3, True]),
        ({"a": np.array([None]), "b": 2}, {"b": 2}),
        ({"a": datetime.datetime(2026, 1, 1), "b": nn.CrossEntropyLoss(), "c": int}, {}),
        ({1: {2: 3}, ("a", 1): 4}, {1: {2: 3}, ("a", 1): 4}),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_objects_beside_the_weights_keep_their_plain_values(
    tmp_path: Path, thing: object, kept: object, legacy: bool
) -> None:
    tree = loaded(torch_bytes({"state_dict": weights(), "args": thing}, legacy), tmp_path).tree
    assert tree["args"] == kept
    assert [*tree["state_dict"]] == [*weights()]


def test_a_call_of_a_command_leaves_nothing(tmp_path: Path) -> None:
    content = {"a": crafted.shell(tmp_path / "canary"), "b": [crafted.Calls(eval, "1"), 2]}
    found = loaded(torch_bytes(content), tmp_path)
    assert found.tree == {"b": [None, 2]}
    assert found.changed == {"posix.system": 1, "builtins.eval": 1}


def test_objects_that_contain_themselves_end(tmp_path: Path) -> None:
    args = argparse.Namespace(weights=weights())
    args.parent = [args]
    tree = loaded(torch_bytes({"args": args}), tmp_path).tree
    assert tree["args"]["parent"][0] is tree["args"]
    assert isinstance(tree["args"]["weights"]["conv.bias"], TensorRef)


def test_content_that_is_nested_too_deep_is_dropped() -> None:
    tree: Any = "leaf"
    for _ in range(LEVELS + 2):
        tree = {"in": tree}
    found, changed = plain_tree(tree, "file")
    assert changed == {"content nested too deep": 1}
    for _ in range(LEVELS):
        found = found["in"]
    assert found == {}


@pytest.mark.parametrize("kind", ["endless", "cycle"])
def test_networks_with_endless_parts_are_refused(kind: str) -> None:
    module = Placeholder("torch.nn.Module", state={"_modules": {}})
    for _ in range(1 if kind == "cycle" else 40):
        inner = module
        module = Placeholder("torch.nn.Module", state={"_modules": {"a": inner, "b": inner}})
    if kind == "cycle":
        inner.state["_modules"]["back"] = module
    with pytest.raises(UnsafeCheckpointError, match="levels or"):
        plain_tree({"net": module}, "file")
