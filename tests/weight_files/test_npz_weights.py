"""Weights in npz archives are read without pickled arrays, and written back by the same names."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mimic_ray.base.errors import CheckpointError, DamagedCheckpointError, UnsafeCheckpointError
from mimic_ray.encoders import encoder_registry
from mimic_ray.weight_files.layout import read_layout
from mimic_ray.weight_files.npz_weights import write_npz
from mimic_ray.weight_files.read import read_checkpoint
from mimic_ray.weight_files.resolve import fit
from mimic_ray.weight_files.write import write_like
from tests.weight_files.crafted import shell
from tests.weight_files.test_flax_vit import random_arrays
from tests.weight_files.test_mutations import mutation


def npz(folder: Path, compressed: bool = False, **arrays: Any) -> Path:
    (np.savez_compressed if compressed else np.savez)(folder / "net.npz", **arrays)
    return folder / "net.npz"


@pytest.mark.parametrize("compressed", [False, True])
def test_plain_names_stay_and_every_type_is_read(tmp_path: Path, compressed: bool) -> None:
    arrays = {
        "conv.weight": np.asfortranarray(np.arange(6.0, dtype=np.float32).reshape(2, 3)),
        "half": np.ones(3, np.float16),
        "big_endian": np.arange(3, dtype=">f8"),
        "count": np.array(7),
        "mask": np.array([True, False]),
    }
    found = read_checkpoint(npz(tmp_path, compressed, **arrays))
    assert found.format == "npz"
    assert list(found.groups) == [()]
    for key, array in arrays.items():
        assert np.array_equal(found.groups[()][key].numpy(), array)
    assert read_layout(tmp_path / "net.npz") == found.layout()


def test_bfloat16_is_read_as_jax_writes_it(tmp_path: Path) -> None:
    values = torch.tensor([1.0, -2.5, 3.25], dtype=torch.bfloat16)
    path = npz(tmp_path, w=values.view(torch.int16).numpy().view("V2"))
    assert torch.equal(read_checkpoint(path).groups[()]["w"], values)


def test_objects_and_texts_are_named_and_nothing_is_run(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    objects = np.array([shell(canary), None], dtype=object)
    path = npz(tmp_path, w=np.ones(3), names=np.array(["a", "b"]), args=objects)
    found = read_checkpoint(path)
    assert found.groups[()].keys() == {"w"}
    assert found.notes["args"] == "pickled objects, not read"
    assert found.notes["names"] == "an array of <U1"
    assert not canary.exists()


def archive(method: int = zipfile.ZIP_DEFLATED, **members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as made:
        for name, data in members.items():
            made.writestr(f"{name}.npy", data)
    return content.getvalue()


def npy(shape: str, data: bytes = b"", dtype: str = "<f4") -> bytes:
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}}}".encode()
    header += b" " * (117 - len(header)) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (archive(w=npy("(1000000000, 1000)")), DamagedCheckpointError),
        (archive(w=npy("(-2, -2)", bytes(16))), DamagedCheckpointError),
        (archive(w=npy("(3,)", bytes(11))), DamagedCheckpointError),
        (archive(w=npy("(__import__('os').abort(),)")), DamagedCheckpointError),
        (archive(w=b"\x93NUMPY\x09\x00"), DamagedCheckpointError),
        (archive(w=npy("(3,)", bytes(12)))[:-30], DamagedCheckpointError),
        (archive(w=bytes(500 << 20)), UnsafeCheckpointError),
        (archive(zipfile.ZIP_BZIP2, w=npy("(3,)", bytes(12))), UnsafeCheckpointError),
        (archive(zipfile.ZIP_LZMA, w=npy("(3,)", bytes(12))), UnsafeCheckpointError),
    ],
    ids=["claim", "negative", "short", "code", "version", "cut", "bomb", "bzip2", "lzma"],
)
def test_bad_archives_are_refused(
    tmp_path: Path, content: bytes, kind: type[CheckpointError]
) -> None:
    (tmp_path / "net.npz").write_bytes(content)
    with pytest.raises(kind) as caught:
        read_checkpoint(tmp_path / "net.npz")
    assert type(caught.value) is kind
    assert "net.npz" in caught.value.message


def test_two_arrays_with_one_name_are_refused(tmp_path: Path) -> None:
    member = npy("(3,)", bytes(12))
    content = archive(v=member, w=member).replace(b"v.npy", b"w.npy")
    (tmp_path / "net.npz").write_bytes(content)
    with pytest.raises(UnsafeCheckpointError, match="the same name"):
        read_checkpoint(tmp_path / "net.npz")


def test_shapes_that_no_network_has_are_refused(tmp_path: Path) -> None:
    arrays = random_arrays("vision_transformer")
    arrays["Transformer/encoderblock_0/MlpBlock_3/Dense_0/kernel"] = np.float32(1)
    query = "Transformer/encoderblock_1/MultiHeadDotProductAttention_1/query/kernel"
    arrays[query] = np.ones((2, 3, 5), np.float32)
    with pytest.raises(DamagedCheckpointError, match="shapes that no network has"):
        read_checkpoint(npz(tmp_path, **arrays))


@pytest.mark.parametrize(
    ("key", "array"),
    [
        ("Transformer/encoderblock/LayerNorm_0/scale", np.zeros(300_000, np.uint8)),
        ("Transformer/encoderblock/LayerNorm_0/scale", np.float32(1)),
    ],
)
def test_a_hostile_number_of_blocks_is_damage(tmp_path: Path, key, array) -> None:
    with pytest.raises(DamagedCheckpointError, match="shapes that no network has"):
        read_checkpoint(npz(tmp_path, **{"embedding/kernel": np.ones((1, 1, 3, 4)), key: array}))


def test_a_network_of_flax_has_timms_names_and_states_its_heads(tmp_path: Path) -> None:
    found = read_checkpoint(npz(tmp_path, **random_arrays("vision_transformer"), extra=np.ones(2)))
    assert found.notes["num_heads"] == "4"
    assert "blocks.1.attn.qkv.weight" in found.groups[()]
    assert torch.equal(found.groups[()]["extra"], torch.ones(2).double())


@pytest.mark.parametrize("compressed", [False, True])
def test_only_the_encoders_weights_change(tmp_path: Path, compressed: bool) -> None:
    encoder = encoder_registry.build("tiny_resnet")
    state = {f"net.{key}": value.numpy() for key, value in encoder.net.state_dict().items()}
    path = npz(tmp_path, compressed, names=np.array(["a"]), **state, head=np.ones(3))
    found = fit(read_checkpoint(path), encoder)
    new = {key: 2 * value for key, value in found.state.items()}
    write_like(path, found, new, tmp_path / "out.npz")
    written = np.load(tmp_path / "out.npz")
    assert written.files == np.load(path).files
    for key, value in state.items():
        assert np.array_equal(written[key], 2 * value)
        assert written[key].dtype == value.dtype
    assert np.array_equal(written["head"], np.ones(3))
    assert list(written["names"]) == ["a"]


@pytest.mark.parametrize("publisher", ["vision_transformer", "scanned"])
def test_a_network_of_flax_is_written_in_its_publishers_layout(
    tmp_path: Path, publisher: str
) -> None:
    arrays = random_arrays(publisher)
    path = npz(tmp_path, **arrays, kept=np.arange(3, dtype=">i4"))
    tensors = read_checkpoint(path).groups[()]
    new = {key: 2 * value for key, value in tensors.items() if key != "kept"}
    with path.open("rb") as file:
        content, keys = write_npz(file, "net.npz", {**new, "not there": torch.ones(1)}, ())
    assert keys == new.keys()
    written = np.load(io.BytesIO(content))
    assert written.files == [*arrays, "kept"]
    for key, array in arrays.items():
        assert np.array_equal(written[key], 2 * array), key
    assert written["kept"].dtype == ">i4"


def test_only_what_changes_is_written_again(tmp_path: Path) -> None:
    arrays = random_arrays("scanned")
    path = npz(tmp_path, **arrays)
    old = read_checkpoint(path).groups[()]["blocks.1.mlp.fc1.bias"]
    with path.open("rb") as file:
        content, _ = write_npz(file, "net.npz", {"blocks.1.mlp.fc1.bias": old + 1}, ())
    written = np.load(io.BytesIO(content))
    for key, array in arrays.items():
        expected = array.copy()
        if key.endswith("encoderblock/MlpBlock_0/Dense_0/bias"):
            expected[1] += 1
        assert np.array_equal(written[key], expected), key


@pytest.mark.slow
def test_a_damaged_archive_gives_weights_or_a_sentence(tmp_path: Path) -> None:
    path = npz(tmp_path, **random_arrays("vision_transformer"))
    whole = path.read_bytes()
    refused = 0
    for seed in range(1000):
        path.write_bytes(mutation(seed)(whole))
        try:
            read_checkpoint(path)
        except CheckpointError:
            refused += 1
    assert refused > 500
