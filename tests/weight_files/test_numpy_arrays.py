"""Arrays of numpy in pickles and torch files are weights."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mimic_ray.base.errors import DamagedCheckpointError
from mimic_ray.encoders import encoder_registry
from mimic_ray.weight_files.key_match import fitting_encoders
from mimic_ray.weight_files.known_layouts import known_layouts
from mimic_ray.weight_files.layout import read_layout
from mimic_ray.weight_files.read import Checkpoint, read_checkpoint
from mimic_ray.weight_files.resolve import fit
from mimic_ray.weight_files.write import write_like
from tests.weight_files import crafted
from tests.weight_files.crafted import refused, torch_bytes

ARRAYS: dict[str, Any] = {
    "matrix": np.arange(6, dtype="f4").reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(24, dtype="f8").reshape(2, 3, 4)),
    "slice": np.arange(20, dtype="i4").reshape(4, 5)[1:, ::2],
    "big-endian": np.arange(5, dtype=">f2"),
    "scalar": np.array(3.5, "f4"),
    "empty": np.empty((0, 3), "f4"),
    "bool": np.array([True, False]),
    "small": np.array([1, 255], "u1"),
    "moved": np.arange(6, dtype="f4").reshape(1, 2, 3).transpose(2, 0, 1),
}


def read(content: bytes, folder: Path) -> Checkpoint:
    (folder / "file").write_bytes(content)
    return read_checkpoint(folder / "file")


@pytest.mark.parametrize("protocol", range(2, 6))
def test_the_arrays_of_a_pickle_are_those_of_numpy(tmp_path: Path, protocol: int) -> None:
    found = read(pickle.dumps({"model": ARRAYS, "__author__": "someone"}, protocol), tmp_path)
    assert found.format == "pickle"
    assert found.notes == {"__author__": "someone"}
    tensors = found.groups["model",]
    assert [*tensors] == [*ARRAYS]
    for key, array in ARRAYS.items():
        np.testing.assert_array_equal(tensors[key].numpy(), array)
    assert not found.contents.finding()
    assert not found.contents.changed


def test_a_pickle_of_python_2_is_read(tmp_path: Path) -> None:
    # Text of bytes as protocol 2 of Python 2 has it, by its opcodes.
    data = np.array([1.5, -2.0], "<f4").tobytes()
    name, dtype = b"U\x06conv_w", b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R"
    dtype += b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    array += b"(K\x01K\x02\x85" + dtype + b"\x89U\x08" + data + b"tb"
    content = b"\x80\x02}" + name + array + b"s."
    assert pickle.loads(content, encoding="latin1")["conv_w"].tolist() == [1.5, -2.0]
    assert read(content, tmp_path).groups[()]["conv_w"].tolist() == [1.5, -2.0]


def test_arrays_of_objects_text_and_records_are_left_out_and_named(tmp_path: Path) -> None:
    others = {
        "objects": np.array([{}, []], object),
        "text": np.array(["a"]),
        "records": np.zeros(2, [("x", "f4")]),
    }
    found = read(pickle.dumps({"w": ARRAYS["matrix"], **others}, 4), tmp_path)
    assert [*found.groups[()]] == ["w"]
    assert sum(found.contents.changed.values()) == 3


def test_an_array_whose_bytes_do_not_have_its_shape_is_refused(tmp_path: Path) -> None:
    content = pickle.dumps({"w": ARRAYS["matrix"]}, 4)
    assert content.count(b"K\x02K\x03\x86") == 1
    wrong = content.replace(b"K\x02K\x03\x86", b"K\x02K\x04\x86")
    message = refused(wrong, tmp_path, DamagedCheckpointError)
    assert "bytes do not have its shape" in message


def test_no_storage_of_a_file_stands_for_the_bytes_of_an_array(tmp_path: Path) -> None:
    key = "in the pickle: array 0"
    content = torch_bytes({"t": torch.ones(2), "a": np.ones(200)})
    renamed = crafted.with_pickle(
        lambda data: data.replace(crafted.text("0"), crafted.text(key)), content
    )
    assert "a storage of unknown kind" in refused(renamed, tmp_path, DamagedCheckpointError)


def doubled(path: Path, new: Path) -> dict[str, Any]:
    """Writes twice the weights of tiny_resnet; returns them as arrays."""
    found = fit(read_checkpoint(path), encoder_registry.build("tiny_resnet"))
    state = {key: 2 * tensor for key, tensor in found.state.items()}
    write_like(path, found, state, new)
    return {key: tensor.numpy() for key, tensor in state.items()}


@pytest.mark.parametrize("kind", ["pickle", "torch"])
def test_the_export_has_arrays_where_the_file_has_them(tmp_path: Path, kind: str) -> None:
    net = encoder_registry.build("tiny_resnet").net
    arrays = {key: tensor.numpy() for key, tensor in net.state_dict().items()}
    content = {"model": arrays, "matching_heuristics": True, "seeds": np.arange(3)}
    data = pickle.dumps(content, 2) if kind == "pickle" else torch_bytes(content)
    (tmp_path / "in").write_bytes(data)
    expected = doubled(tmp_path / "in", tmp_path / "out")
    if kind == "pickle":
        new = pickle.loads((tmp_path / "out").read_bytes())
    else:
        new = torch.load(tmp_path / "out", weights_only=False)
    assert [*new] == [*content]
    assert new["seeds"].tolist() == [0, 1, 2]
    assert all(type(array) is np.ndarray for array in new["model"].values())
    for key, array in expected.items():
        np.testing.assert_array_equal(new["model"][key], array)


def test_arrays_beside_tensors_become_tensors(tmp_path: Path) -> None:
    state = encoder_registry.build("tiny_resnet").net.state_dict()
    (tmp_path / "in").write_bytes(torch_bytes({"model": state, "seeds": np.arange(3)}))
    doubled(tmp_path / "in", tmp_path / "out")
    new = torch.load(tmp_path / "out", weights_only=True)
    assert new["seeds"].tolist() == [0, 1, 2]
    assert read_checkpoint(tmp_path / "in").contents.changed == {"numpy.ndarray": 1}


def converted(key: str) -> str:
    """The name that MoCo's converter for Detectron2 gives a key of torchvision's ResNet."""
    if "layer" not in key:
        key = f"stem.{key}"
    for number in (4, 3, 2, 1):
        key = key.replace(f"layer{number}", f"res{number + 1}")
    for number in (1, 2, 3):
        key = key.replace(f"bn{number}", f"conv{number}.norm")
    return key.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")


def test_a_file_of_mocos_converter_is_a_resnet50(tmp_path: Path) -> None:
    zeros = {
        converted(key): np.zeros(info.shape, "f4")
        for key, info in known_layouts()["resnet50"].tensors.items()
    }
    zeros |= {"stem.fc.0.weight": np.zeros((9, 9), "f4")}
    with (tmp_path / "moco.pkl").open("wb") as file:
        pickle.dump({"model": zeros, "__author__": "MOCO", "matching_heuristics": True}, file)
    found = {match.encoder: match for match in fitting_encoders(read_layout(tmp_path / "moco.pkl"))}
    assert found["resnet50"].keys["layer2.0.downsample.1.bias"] == "res3.0.shortcut.norm.bias"
    assert found["resnet50"].left_out == ["stem.fc.0.weight"]


def test_a_pickle_is_read_as_a_stream_of_one_object(tmp_path: Path) -> None:
    stream = io.BytesIO()
    pickle.dump({"w": ARRAYS["matrix"]}, stream)
    pickle.dump({"x": crafted.shell(tmp_path / "canary")}, stream)
    assert [*read(stream.getvalue(), tmp_path).groups[()]] == ["w"]
