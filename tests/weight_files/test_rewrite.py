"""An export has the new weights wherever the old ones were, and nothing that runs."""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mimic_ray.encoders import encoder_registry
from mimic_ray.weight_files.read import read_checkpoint
from mimic_ray.weight_files.resolve import Fit, fit
from mimic_ray.weight_files.write import write_like
from tests.weight_files import crafted
from tests.weight_files.crafted import scripted, torch_bytes


class Learner(nn.Module):
    """As byol-pytorch keeps them: one network under two names, and a copy of it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = encoder_registry.build("tiny_resnet").net
        self.online_encoder = nn.ModuleDict({"net": self.net})
        self.target_encoder = copy.deepcopy(self.online_encoder)


def fitted(path: Path) -> Fit:
    return fit(read_checkpoint(path), encoder_registry.build("tiny_resnet"))


def written(
    content: object, folder: Path, legacy: bool = False, all_copies: bool = False
) -> tuple[Fit, object]:
    """The fit, and what torch reads of an export whose weights are twice those of the file."""
    (folder / "in.pt").write_bytes(torch_bytes(content, legacy))
    found = fitted(folder / "in.pt")
    doubled = {key: 2 * tensor for key, tensor in found.state.items()}
    write_like(folder / "in.pt", found, doubled, folder / "out.pt", all_copies)
    return found, torch.load(folder / "out.pt", weights_only=True)


def factor(new: dict[str, Tensor], old: dict[str, Tensor], prefix: str) -> set[float]:
    keys = [key for key in old if key.startswith(prefix) and old[key].count_nonzero()]
    assert keys
    return {float((new[key] / old[key]).nanmean()) for key in keys}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_all_names_of_one_memory_are_written(tmp_path: Path, legacy: bool) -> None:
    old = Learner().state_dict()
    found, new = written(old, tmp_path, legacy)
    assert isinstance(new, dict)
    assert [*new] == [*old]
    assert factor(new, old, "net.") == factor(new, old, "online_encoder.net.") == {2.0}
    assert factor(new, old, "target_encoder.net.") == {1.0}
    assert found.tied == ["the top level of the file, keys online_encoder.net.*"]
    assert found.also_fits == ["the top level of the file, keys target_encoder.net.*"]
    assert new["net.conv1.weight"].data_ptr() == new["online_encoder.net.conv1.weight"].data_ptr()


@pytest.mark.parametrize("kind", ["torch", "safetensors"])
def test_all_copies_are_written_if_asked(tmp_path: Path, kind: str) -> None:
    old = Learner().state_dict()
    if kind == "torch":
        _found, new = written(old, tmp_path, all_copies=True)
    else:
        save_file({key: tensor.clone() for key, tensor in old.items()}, tmp_path / "in")
        found = fitted(tmp_path / "in")
        doubled = {key: 2 * tensor for key, tensor in found.state.items()}
        write_like(tmp_path / "in", found, doubled, tmp_path / "out", all_copies=True)
        new = read_checkpoint(tmp_path / "out").groups[()]
    assert isinstance(new, dict)
    assert factor(new, old, "") == {2.0}


@pytest.mark.parametrize("kind", [list, tuple])
def test_weights_in_a_list_are_read_and_written(tmp_path: Path, kind: type) -> None:
    old = fitted_state()
    found, new = written({"models": kind([3, old])}, tmp_path)
    assert found.group == ("models", "1")
    assert isinstance(new, dict)
    assert (type(new["models"]), new["models"][0]) == (kind, 3)
    assert factor(new["models"][1], old, "") == {2.0}


def test_a_flat_buffer_with_views_is_written(tmp_path: Path) -> None:
    state = fitted_state()
    floats = {key: tensor for key, tensor in state.items() if tensor.is_floating_point()}
    flat = torch.cat([tensor.flatten() for tensor in floats.values()])
    parts = flat.split([tensor.numel() for tensor in floats.values()])
    views = {key: part.view(floats[key].shape) for key, part in zip(floats, parts, strict=True)}
    _found, new = written({"model": views, "flat": flat.clone(), "shared": flat}, tmp_path)
    assert isinstance(new, dict)
    assert torch.equal(new["shared"], 2 * flat)
    assert torch.equal(new["flat"], flat)


def test_two_weights_in_one_memory_may_differ_afterwards(tmp_path: Path) -> None:
    state = fitted_state()
    state["bn1.weight"] = state["bn1.bias"] = torch.ones(8)
    (tmp_path / "in.pt").write_bytes(torch_bytes(state))
    found = fitted(tmp_path / "in.pt")
    changed = found.state | {"bn1.weight": torch.full((8,), 2.0), "bn1.bias": torch.zeros(8)}
    write_like(tmp_path / "in.pt", found, changed, tmp_path / "out.pt")
    new = torch.load(tmp_path / "out.pt", weights_only=True)
    assert all(torch.equal(new[key], changed[key]) for key in changed)


def fitted_state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return dict(encoder_registry.build("tiny_resnet").net.state_dict())


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_the_export_has_plain_values_and_no_payload(tmp_path: Path, legacy: bool) -> None:
    canary = tmp_path / "canary"
    state = fitted_state()
    content = {
        "epoch": 3,
        "args": argparse.Namespace(lr=0.1),
        "state_dict": state,
        "best": torch.tensor(float("inf")),
        "harm": crafted.shell(canary),
        "list": [1, crafted.Calls(eval, f"open({str(canary)!r}, 'w')")],
        "mask": torch.eye(2).to_sparse(),
        "wide": torch.ones(1).expand(1 << 40),
    }
    _found, new = written(content, tmp_path, legacy)
    assert isinstance(new, dict)
    assert [*new] == ["epoch", "args", "state_dict", "best", "list", "wide"]
    assert (new["epoch"], new["args"], new["list"]) == (3, {"lr": 0.1}, [1, None])
    assert new["best"] == float("inf")
    assert new["wide"].shape == (1 << 40,)
    assert factor(new["state_dict"], state, "") == {2.0}
    for word in (b"canary", b"posix", b"eval"):
        assert word in (tmp_path / "in.pt").read_bytes()
        assert word not in (tmp_path / "out.pt").read_bytes()


def network(state: dict[str, Tensor]) -> nn.Module:
    """A network without a program that has these weights."""
    root = nn.Module()
    for key, tensor in state.items():
        *path, name = key.split(".")
        module = root
        for step in path:
            if not hasattr(module, step):
                module.add_module(step, nn.Module())
            module = module.get_submodule(step)
        module.register_buffer(name, tensor)
    return root


@pytest.mark.parametrize("script", [False, True], ids=["pickled", "TorchScript"])
def test_a_whole_network_is_exported_as_its_state_dict(tmp_path: Path, script: bool) -> None:
    net = network({f"visual.{key}": tensor for key, tensor in fitted_state().items()})
    old = net.state_dict()
    (tmp_path / "in.pt").write_bytes(scripted(net) if script else torch_bytes(net))
    found = fitted(tmp_path / "in.pt")
    doubled = {key: 2 * tensor for key, tensor in found.state.items()}
    write_like(tmp_path / "in.pt", found, doubled, tmp_path / "out.pt")
    new = torch.load(tmp_path / "out.pt", weights_only=True)
    assert new.keys() == old.keys()
    assert factor(new, old, "visual.") == {2.0}
