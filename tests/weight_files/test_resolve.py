"""The weights of an encoder are found in the tensors of a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mimic_ray.encoders import encoder_registry
from mimic_ray.weight_files.key_match import fitting_encoders
from mimic_ray.weight_files.layout import Group
from mimic_ray.weight_files.read import Checkpoint, read_checkpoint
from mimic_ray.weight_files.resolve import fit


def weights(name: str = "tiny_resnet", prefix: str = "", value: float = 0.5) -> dict[str, Tensor]:
    """A state dict with the encoder's shapes, all values equal."""
    with torch.device("meta"):
        state = encoder_registry.build(name).net.state_dict()
    return {
        prefix + key: torch.full(tensor.shape, value).to(tensor.dtype)
        for key, tensor in state.items()
    }


def checkpoint(groups: Mapping[Group, dict[str, Tensor]]) -> Checkpoint:
    return Checkpoint(Path("suspect.pt"), "0" * 64, "torch-zip", dict(groups), {})


HEAD = {"linear.weight": torch.zeros(10, 32), "linear.bias": torch.zeros(10)}


@pytest.mark.parametrize("group", [(), ("state_dict",), ("model", "net"), ("any name",)])
@pytest.mark.parametrize(
    "prefix",
    ["", "module.", "encoder.", "backbone.", "visual.", "f.", "module.encoder_q.", "a.b.c.d.e."],
)
def test_weights_are_found_in_any_group_under_any_prefix(group: Group, prefix: str) -> None:
    head = {prefix + key: tensor for key, tensor in HEAD.items()}
    projector = {"g.0.weight": torch.zeros(2, 2)}
    found = fit(
        checkpoint({group: weights(prefix=prefix) | head | projector}),
        encoder_registry.build("tiny_resnet"),
    )
    assert (found.encoder, found.group, found.prefix) == ("tiny_resnet", group, prefix)
    assert found.left_out == [*head, *projector]
    assert found.keys == {key: prefix + key for key in weights()}
    assert found.also_fits == []
    encoder_registry.build("tiny_resnet").net.load_state_dict(found.state, strict=True)


def test_half_precision_becomes_float32() -> None:
    half = {key: tensor.half() for key, tensor in weights().items()}
    state = fit(checkpoint({(): half}), encoder_registry.build("tiny_resnet")).state
    expected = weights()
    assert {key: tensor.dtype for key, tensor in state.items()} == {
        key: tensor.dtype for key, tensor in expected.items()
    }
    assert all(torch.equal(state[key], expected[key]) for key in expected if "batches" not in key)


def test_old_files_without_batch_counts_fit() -> None:
    old = {key: tensor for key, tensor in weights().items() if "num_batches" not in key}
    found = fit(checkpoint({(): old}), encoder_registry.build("tiny_resnet"))
    assert found.keys.keys() == old.keys()
    assert found.state["bn1.num_batches_tracked"] == 0


@pytest.mark.data
@pytest.mark.parametrize("depth", [20, 32, 56])
def test_third_party_weights_fit_only_their_encoder(shared_data: Path, depth: int) -> None:
    read = read_checkpoint(shared_data / "assets" / f"resnet{depth}-cifar10.th")
    (found,) = fitting_encoders(read.layout())
    assert found.encoder == f"cifar_resnet{depth}"
    assert (found.group, found.prefix) == (("state_dict",), "module.")
    assert found.left_out == ["module.linear.weight", "module.linear.bias"]
