from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from mimic_ray.base.errors import DamagedCheckpointError
from mimic_ray.encoders import encoder_registry
from mimic_ray.weight_files.read import read_checkpoint
from mimic_ray.weight_files.resolve import Fit, fit
from mimic_ray.weight_files.write import write_like
from tests.weight_files.crafted import torch_bytes
from tests.weight_files.test_joined import in_parts


def tiny_weights(prefix: str = "") -> dict[str, Tensor]:
    torch.manual_seed(0)
    state = encoder_registry.build("tiny_resnet").net.state_dict()
    return {prefix + key: tensor for key, tensor in state.items()}


def fitted(path: Path) -> Fit:
    return fit(read_checkpoint(path), encoder_registry.build("tiny_resnet"))


def doubled(found: Fit) -> dict[str, Tensor]:
    return {key: 2 * tensor for key, tensor in found.state.items()}


def layout(content: Any) -> Any:
    """Types, keys in order, dtypes and shapes: everything but the values of tensors."""
    if isinstance(content, dict):
        return type(content), [(key, layout(value)) for key, value in content.items()]
    if isinstance(content, Tensor):
        return type(content), content.dtype, content.shape, content.requires_grad
    return content


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_only_the_encoders_weights_change_in_a_torch_file(tmp_path: Path, legacy: bool) -> None:
    state = OrderedDict({"head.weight": torch.nn.Parameter(torch.ones(2, 32))})
    for number, (key, tensor) in enumerate(tiny_weights("f.").items()):
        half = tensor.half() if tensor.is_floating_point() else tensor
        trained = number % 2 == 0 and half.is_floating_point()
        state[key] = torch.nn.Parameter(half) if trained else half
    original = {
        "epoch": 7,
        "state_dict": state,
        "ema": {"f.conv1.weight": state["f.conv1.weight"].detach().clone()},
        "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]},
    }
    (tmp_path / "in.pt").write_bytes(torch_bytes(original, legacy))
    found = fitted(tmp_path / "in.pt")

    write_like(tmp_path / "in.pt", found, doubled(found), tmp_path / "out.pt")

    written = torch.load(tmp_path / "out.pt", weights_only=True)
    assert layout(written) == layout(original)
    for key, tensor in state.items():
        factor = 1 if key == "head.weight" else 2
        assert torch.equal(written["state_dict"][key], factor * tensor)
    assert torch.equal(written["ema"]["f.conv1.weight"], state["f.conv1.weight"])
    again = read_checkpoint(tmp_path / "out.pt")
    assert again.format == ("torch-legacy" if legacy else "torch-zip")


def test_only_the_encoders_weights_change_in_a_safetensors_file(tmp_path: Path) -> None:
    half = {
        key: tensor.bfloat16() if tensor.is_floating_point() else tensor
        for key, tensor in tiny_weights("module.").items()
    } | {"head": torch.ones(3)}
    save_file(half, tmp_path / "in", {"format": "pt", "author": "A. Author"})
    found = fitted(tmp_path / "in")

    write_like(tmp_path / "in", found, doubled(found), tmp_path / "out")

    with safe_open(tmp_path / "in", "pt") as old, safe_open(tmp_path / "out", "pt") as new:
        assert new.metadata() == old.metadata()
        assert list(new.keys()) == list(old.keys())
        for key in old.keys():  # noqa: SIM118 - no mapping
            factor = 1 if key == "head" else 2
            assert new.get_tensor(key).dtype == old.get_tensor(key).dtype
            assert torch.equal(new.get_tensor(key), factor * old.get_tensor(key))


def test_missing_batch_counts_are_not_added(tmp_path: Path) -> None:
    old = {key: tensor for key, tensor in tiny_weights().items() if "num_batches" not in key}
    save_file(old, tmp_path / "in")
    found = fitted(tmp_path / "in")
    write_like(tmp_path / "in", found, found.state, tmp_path / "out")
    assert read_checkpoint(tmp_path / "out").groups[()].keys() == old.keys()


def test_weights_that_share_memory_are_written_separately(tmp_path: Path) -> None:
    save_file(tiny_weights(), tmp_path / "in")
    found = fitted(tmp_path / "in")
    shared = torch.full((8,), 3.0)
    state = found.state | {"bn1.weight": shared, "bn1.bias": shared}
    write_like(tmp_path / "in", found, state, tmp_path / "out")
    written = read_checkpoint(tmp_path / "out").groups[()]
    assert torch.equal(written["bn1.weight"], shared)
    assert torch.equal(written["bn1.bias"], shared)


@pytest.mark.parametrize("torch_file", [False, True], ids=["safetensors", "torch"])
def test_values_too_large_for_the_files_precision_are_not_written(
    tmp_path: Path, torch_file: bool
) -> None:
    half = {key: tensor.half() for key, tensor in tiny_weights().items()}
    if torch_file:
        (tmp_path / "in").write_bytes(torch_bytes(half))
    else:
        save_file(half, tmp_path / "in")
    found = fitted(tmp_path / "in")
    state = found.state | {"bn1.bias": torch.full((8,), 1e6)}
    with pytest.raises(DamagedCheckpointError, match=r"bn1\.bias.* infinity in 8 of 8"):
        write_like(tmp_path / "in", found, state, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("change", ["fewer keys", "other shapes", "gone"])
@pytest.mark.parametrize("torch_file", [False, True], ids=["safetensors", "torch"])
def test_a_file_that_was_replaced_in_the_meantime_is_refused(
    tmp_path: Path, change: str, torch_file: bool
) -> None:
    def put(state: dict[str, Tensor]) -> None:
        if torch_file:
            (tmp_path / "in").write_bytes(torch_bytes({"model": state} if state else {"a": 1}))
        else:
            save_file(state, tmp_path / "in")

    put(tiny_weights())
    found = fitted(tmp_path / "in")
    changed = tiny_weights()
    if change == "fewer keys":
        del changed["conv1.weight"]
    elif change == "other shapes":
        changed["conv1.weight"] = torch.zeros(1)
    else:
        changed = {}
    put(changed)
    with pytest.raises(DamagedCheckpointError, match="has changed since it was read"):
        write_like(tmp_path / "in", found, found.state, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.data
@pytest.mark.parametrize("depth", [20, 32, 56])
def test_third_party_weights_are_written_back_in_their_layout(
    shared_data: Path, tmp_path: Path, depth: int
) -> None:
    original = shared_data / "assets" / f"resnet{depth}-cifar10.th"
    found = fit(read_checkpoint(original), encoder_registry.build(f"cifar_resnet{depth}"))
    write_like(original, found, found.state, tmp_path / "out.th")
    old, new = (
        torch.load(path, map_location="cpu", weights_only=True)
        for path in (original, tmp_path / "out.th")
    )
    assert layout(new) == layout(old)
    assert all(
        torch.equal(new["state_dict"][key], old["state_dict"][key]) for key in found.keys.values()
    )


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_parts_become_a_folder_of_the_same_parts(tmp_path: Path, suffix: str) -> None:
    state = tiny_weights("backbone.")
    keys = [*state]
    half = len(keys) // 2
    parts = [{key: state[key] for key in some} for some in (keys[:half], keys[half:])]
    parts[1]["head.weight"] = torch.ones(3)
    folder = in_parts(tmp_path / "in", *parts, suffix=suffix)
    (folder / "modeling.py").write_text("raise SystemExit")
    found = fitted(folder)

    write_like(folder, found, doubled(found), tmp_path / "out")

    names = {path.name for path in folder.iterdir()} - {"modeling.py"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    for name in names:
        if name.endswith("json"):
            assert (tmp_path / "out" / name).read_bytes() == (folder / name).read_bytes()
    old, new = (read_checkpoint(tmp_path / where).groups[()] for where in ("in", "out"))
    assert [*new] == [*old]
    for key, tensor in old.items():
        assert torch.equal(new[key], tensor if key == "head.weight" else 2 * tensor)


def test_parts_that_have_changed_are_not_written(tmp_path: Path) -> None:
    folder = in_parts(tmp_path / "in", tiny_weights(), {"head": torch.ones(3)})
    found = fitted(folder)
    rest = {key: tensor for key, tensor in tiny_weights().items() if key != "conv1.weight"}
    save_file(rest, folder / "model-00001-of-00002.safetensors")
    with pytest.raises(DamagedCheckpointError, match="has changed"):
        write_like(folder, found, found.state, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_a_link_in_the_folder_leads_to_is_not_exported(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("token")
    folder = in_parts(tmp_path / "in", tiny_weights())
    (folder / "notes.txt").symlink_to(tmp_path / "secret")
    (folder / "own.txt").symlink_to("config.json")
    found = fitted(folder)
    write_like(folder, found, found.state, tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert "own.txt" in names
    assert "notes.txt" not in names


def test_files_of_a_hub_cache_are_links_to_its_blobs_and_are_exported(tmp_path: Path) -> None:
    folder = in_parts(tmp_path / "models--o--n" / "snapshots" / "abc", tiny_weights())
    blobs = tmp_path / "models--o--n" / "blobs"
    blobs.mkdir()
    (folder / "config.json").rename(blobs / "1")
    (folder / "config.json").symlink_to("../../blobs/1")
    found = fitted(folder)
    write_like(folder, found, found.state, tmp_path / "out")
    assert (tmp_path / "out" / "config.json").read_bytes() == (blobs / "1").read_bytes()
