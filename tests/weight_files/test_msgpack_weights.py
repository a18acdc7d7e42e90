"""Checkpoints of Flax in msgpack, by the layout of flax/serialization.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import torch

from mimic_ray.base.errors import CheckpointError, DamagedCheckpointError
from mimic_ray.weight_files.layout import read_layout
from mimic_ray.weight_files.read import read_checkpoint
from mimic_ray.weight_files.resolve import fit
from mimic_ray.weight_files.write import write_like
from tests.weight_files.crafted import refused
from tests.weight_files.test_mutations import mutation
from tests.weight_files.test_publisher_views import CASES, tiny


def packed(array: Any) -> msgpack.ExtType:
    name = "bfloat16" if array.dtype == "V2" else array.dtype.name
    data = msgpack.packb((array.shape, name, array.tobytes()), use_bin_type=True)
    return msgpack.ExtType(1, data)


def flax_bytes(tree: Any) -> bytes:
    def leaves(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: leaves(inner) for key, inner in value.items()}
        return packed(value) if isinstance(value, np.ndarray) else value

    return msgpack.packb(leaves(tree), use_bin_type=True)


def arrays_in(content: bytes) -> dict[str, Any]:
    """The arrays by their path, read without our code."""
    found = {}
    stack = [("", msgpack.unpackb(content))]
    while stack:
        path, value = stack.pop()
        if isinstance(value, dict):
            stack += [(f"{path}/{key}", inner) for key, inner in value.items()]
        elif isinstance(value, msgpack.ExtType):
            shape, name, data = msgpack.unpackb(value.data)
            found[path[1:]] = np.frombuffer(data, "V2" if name == "bfloat16" else name)
            found[path[1:]] = found[path[1:]].reshape(shape)
    return found


def flaxed(state: dict[str, torch.Tensor]) -> dict[str, Any]:
    """A state_dict() of transformers as its Flax network has it, in nested dictionaries."""
    tree: dict[str, Any] = {}
    for key, tensor in state.items():
        *modules, last = key.split(".")
        array = tensor.numpy()
        if last == "weight" and array.ndim == 4:
            last, array = "kernel", array.transpose(2, 3, 1, 0)
        elif last == "weight" and modules[-1] == "position_embedding":
            last = "embedding"
        elif last == "weight":
            last, array = ("kernel", array.T) if array.ndim == 2 else ("scale", array)
        table = tree
        for module in modules:
            table = table.setdefault(module, {})
        table[last] = np.ascontiguousarray(array)
    return tree


@pytest.mark.parametrize("name", ["Hugging Face ViT", "Hugging Face DINOv2", "Hugging Face CLIP"])
def test_the_flax_network_of_transformers_has_the_names_and_values_of_its_torch_network(
    name: str, tmp_path: Path
) -> None:
    case = CASES[name]
    torch.manual_seed(1)
    state = case.stored(case.vit.weights())
    (tmp_path / "flax_model.msgpack").write_bytes(flax_bytes(flaxed(state)))
    (tmp_path / "config.json").write_text("{}")
    checkpoint = read_checkpoint(tmp_path)
    assert checkpoint.format == "flax-msgpack"
    assert checkpoint.groups[()].keys() == state.keys()
    assert all(torch.equal(checkpoint.groups[()][key], state[key]) for key in state)
    assert read_layout(tmp_path) == checkpoint.layout()

    encoder = tiny(case.encoder)
    found = fit(checkpoint, encoder)
    changed = {key: value + 1 for key, value in found.state.items()}
    write_like(tmp_path, found, changed, tmp_path / "new")
    again = fit(read_checkpoint(tmp_path / "new"), encoder)
    assert all(torch.equal(again.state[key], changed[key]) for key in changed)
    old, new = (
        arrays_in((folder / "flax_model.msgpack").read_bytes())
        for folder in (tmp_path, tmp_path / "new")
    )
    assert [*new] == [*old]
    assert all(new[key].shape == old[key].shape for key in old)


def test_collections_are_dropped_from_names_and_other_values_stay(tmp_path: Path) -> None:
    kernel = np.arange(54, dtype="f4").reshape(3, 3, 2, 3)
    tree = {
        "params": {"conv": {"kernel": kernel}, "norm": {"scale": np.ones(3, "f4")}},
        "batch_stats": {"norm": {"mean": np.zeros(3, "f4"), "var": np.ones(3, "f4")}},
        "half": np.array([1.0, -2.5]).astype("f4").view("u2")[1::2].view("V2"),
        "step": 7,
        "complex": np.ones(2, "c8"),
    }
    (tmp_path / "file").write_bytes(flax_bytes(tree))
    found = read_checkpoint(tmp_path / "file")
    tensors = found.groups[()]
    assert [*tensors] == [
        *("conv.weight", "norm.weight", "norm.running_mean", "norm.running_var", "half")
    ]
    assert torch.equal(tensors["conv.weight"], torch.tensor(kernel).permute(3, 2, 0, 1))
    assert tensors["half"].tolist() == [1.0, -2.5]
    assert found.notes["step"] == "7"
    assert found.notes["complex"] == "an array of complex64"


def test_the_parts_of_a_sharded_checkpoint_are_one(tmp_path: Path) -> None:
    case = CASES["Hugging Face ViT"]
    tree = flaxed(case.stored(case.vit.weights()))["vit"]
    parts = {
        "flax_model-00001-of-00002.msgpack": {"vit": {"embeddings": tree["embeddings"]}},
        "flax_model-00002-of-00002.msgpack": {
            "vit": {key: value for key, value in tree.items() if key != "embeddings"}
        },
    }
    index = {}
    for name, part in parts.items():
        (tmp_path / name).write_bytes(flax_bytes(part))
        index |= dict.fromkeys(arrays_in(flax_bytes(part)), name)
    (tmp_path / "flax_model.msgpack.index.json").write_text(json.dumps({"weight_map": index}))
    encoder = tiny(case.encoder)
    found = fit(read_checkpoint(tmp_path), encoder)
    changed = {key: value + 1 for key, value in found.state.items()}
    write_like(tmp_path, found, changed, tmp_path / "new")
    again = fit(read_checkpoint(tmp_path / "new"), encoder)
    assert all(torch.equal(again.state[key], changed[key]) for key in changed)


ARRAY = {"a": {"kernel": np.ones((2, 3), "f4")}}


@pytest.mark.parametrize(
    "content",
    [
        flax_bytes(ARRAY)[:-2],
        flax_bytes(ARRAY).replace(b"\x92\x02\x03", b"\x92\x02\x04"),
        flax_bytes(ARRAY).replace(b"\x92\x02\x03", b"\x92\x02\xff"),
        b"\x81\xa1a\xdd\xff\xff\xff\xff",
        b"\x81\xa1a" + b"\x81\xa1a" * 100_000 + b"\xc0",
        b"\x81\xa1a\xc7\x01\x01\x05",
    ],
    ids=["cut", "shape", "negative", "long-list", "deep", "no-array"],
)
def test_bad_files_are_refused(tmp_path: Path, content: bytes) -> None:
    assert "damaged checkpoint of Flax" in refused(content, tmp_path, DamagedCheckpointError)


@pytest.mark.slow
def test_a_damaged_file_gives_weights_or_a_sentence(tmp_path: Path) -> None:
    whole = flax_bytes(ARRAY | {"step": 1, "b": {"kernel": np.ones((3, 3, 1, 2), "f4")}})
    refused = 0
    for seed in range(1000):
        (tmp_path / "file").write_bytes(mutation(seed)(whole))
        try:
            read_checkpoint(tmp_path / "file")
        except CheckpointError:
            refused += 1
    assert refused > 500
