"""Torch files of strangers: each ends in weights or in one error of ours, and nothing is run."""

from __future__ import annotations

import argparse
import builtins
import collections
import datetime
import io
import os
import pickle
import tarfile
import time
import types
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save as safetensors_save

from mimic_ray.base.errors import (
    CheckpointError,
    DamagedCheckpointError,
    NotACheckpointError,
    TooLargeCheckpointError,
    UnsafeCheckpointError,
)
from mimic_ray.encoders.checkpoint import sandbox
from mimic_ray.encoders.checkpoint.read import read_checkpoint
from tests.encoders.checkpoint import crafted
from tests.encoders.checkpoint.crafted import torch_bytes, weights


def refused(content: bytes, folder: Path, kind: type[CheckpointError]) -> str:
    """The sentence with which the bytes are refused, in a few seconds on a quiet machine."""
    path = folder / "suspect.pth"
    path.write_bytes(content)
    start = time.monotonic()
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    assert type(caught.value) is kind, caught.value
    assert time.monotonic() - start < 20
    assert str(path) in caught.value.message
    return caught.value.message


def test_every_group_of_named_tensors_is_found_with_what_lies_beside(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("function", [os.system, builtins.exec, builtins.eval])
def test_a_pickle_that_calls_the_system_is_not_run(
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
def test_a_plain_pickle_that_calls_the_system_is_not_run(tmp_path: Path, protocol: int) -> None:
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
def test_python_objects_beside_the_weights_are_named_with_a_way_out(
    tmp_path: Path, thing: object, named: str, legacy: bool
) -> None:
    content = torch_bytes({"state_dict": weights(), "args": thing}, legacy)
    message = refused(content, tmp_path, UnsafeCheckpointError)
    assert named in message
    assert "weights alone" in message


def test_of_a_whole_network_the_state_dict_is_asked_for(tmp_path: Path) -> None:
    content = torch_bytes({"model": torch.nn.Linear(2, 2)})
    assert "state_dict()" in refused(content, tmp_path, UnsafeCheckpointError)


def test_harmless_types_are_read_past(tmp_path: Path) -> None:
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


def quantized() -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, and still in files
        return torch.quantize_per_tensor(torch.ones(2), 1.0, 0, torch.qint8)


@pytest.mark.parametrize(
    "tensor",
    [torch.eye(2).to_sparse(), quantized(), torch.zeros(2, dtype=torch.complex64)],
    ids=["sparse", "quantized", "complex"],
)
def test_tensors_that_are_not_plain_are_refused_by_name(
    tmp_path: Path, tensor: torch.Tensor, request: pytest.FixtureRequest
) -> None:
    message = refused(torch_bytes({"layer.weight": tensor}), tmp_path, CheckpointError)
    assert '"layer.weight" is a' in message
    assert request.node.callspec.id in message


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_the_bytes_decide_and_not_the_suffix(tmp_path: Path, legacy: bool) -> None:
    (tmp_path / "a.safetensors").write_bytes(torch_bytes(weights(), legacy))
    (tmp_path / "b.pt").write_bytes(safetensors_save(weights()))
    formats = [read_checkpoint(tmp_path / name).format for name in ("a.safetensors", "b.pt")]
    assert formats == ["torch-legacy" if legacy else "torch-zip", "safetensors"]


def test_torchscript_is_called_code(tmp_path: Path) -> None:
    def into_program(name: str, data: bytes) -> tuple[str, bytes]:
        return (name.replace("version", "constants.pkl"), data)

    content = crafted.rezipped(torch_bytes(weights()), into_program)
    assert "TorchScript" in refused(content, tmp_path, UnsafeCheckpointError)


def npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.zeros(3))
    return buffer.getvalue()


def tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("storages"))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>404</html>", "web page"),
        (b"\xef\xbb\xbf\n  <html>", "web page"),
        (b'{"error":"Repository not found"}', "error message of a server"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
        (np.random.default_rng(0).bytes(4096), "neither a safetensors nor a torch file"),
        (tar(), "tar archive"),
        (npz(), "numpy archive"),
        (pickle.dumps({"a": [1.0]}, 2), "did not write"),
        (torch_bytes({"epoch": 1}), "no tensor under a name"),
        (torch_bytes([torch.ones(2)]), "no tensor under a name"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_what_is_no_checkpoint_is_called_what_it_is(
    tmp_path: Path, content: bytes, words: str
) -> None:
    assert words in refused(content, tmp_path, NotACheckpointError)


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for place, words in {
        tmp_path / "missing": "There is no file",
        tmp_path: "is a folder",
        tmp_path / "pipe": "pipe or device",
        Path("/dev/zero"): "pipe or device",
        tmp_path / "loop": "cannot be opened",
        Path("a\0b"): "cannot be opened",
    }.items():
        with pytest.raises(NotACheckpointError, match=words):
            read_checkpoint(place)


def test_a_link_is_followed_and_shown(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"<html>")
    (tmp_path / "weights.pt").symlink_to(tmp_path / "blob")
    with pytest.raises(NotACheckpointError, match=r"weights\.pt -> .*blob is a web page"):
        read_checkpoint(tmp_path / "weights.pt")


def test_a_file_over_the_limit_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(64 << 30)
    with pytest.raises(TooLargeCheckpointError, match="68,719,476,736"):
        read_checkpoint(tmp_path / "sparse")


def test_weights_saved_on_a_gpu_are_read_on_the_cpu(tmp_path: Path) -> None:
    moved = crafted.with_pickle(
        lambda data: data.replace(crafted.text("cpu"), crafted.text("cuda:0"))
    )
    assert b"cuda:0" in moved  # or the test tests nothing
    (tmp_path / "file").write_bytes(moved)
    found = read_checkpoint(tmp_path / "file").groups[()]
    assert all(torch.equal(found[key], value) for key, value in weights().items())


@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_truncated_file_is_called_damaged(tmp_path: Path, share: float, legacy: bool) -> None:
    content = torch_bytes({"w": torch.zeros(5000)}, legacy)
    refused(content[: int(share * len(content))], tmp_path, DamagedCheckpointError)


def test_one_flipped_bit_in_the_weights_is_found_and_its_record_named(tmp_path: Path) -> None:
    content = bytearray(torch_bytes({"w": torch.full((64,), 1.5)}))
    place = content.index(torch.full((64,), 1.5).numpy().tobytes())
    content[place + 9] ^= 1
    assert "/data/0" in refused(bytes(content), tmp_path, DamagedCheckpointError)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_records_of_one_name_are_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO(torch_bytes(weights()))
    with zipfile.ZipFile(buffer, "a") as archive:
        name = next(one for one in archive.namelist() if one.endswith("/data/0"))
        archive.writestr(name, b"other weights")
    assert "two records" in refused(buffer.getvalue(), tmp_path, UnsafeCheckpointError)


@pytest.mark.parametrize("name", ["archive/../../x", "../x", "/etc/x", "second/x"])
def test_records_outside_of_the_one_folder_are_refused(tmp_path: Path, name: str) -> None:
    buffer = io.BytesIO(torch_bytes(weights()))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(name, b"x")
    assert "outside of one folder" in refused(buffer.getvalue(), tmp_path, UnsafeCheckpointError)


def test_bytes_before_the_archive_are_refused(tmp_path: Path) -> None:
    content = b"PK\x03\x04" + torch_bytes(weights())
    assert "before its first record" in refused(content, tmp_path, UnsafeCheckpointError)


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
def test_records_and_views_that_do_not_agree_are_refused(tmp_path: Path, content: bytes) -> None:
    refused(content, tmp_path, DamagedCheckpointError)


def test_a_compressed_record_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    bomb = crafted.rezipped(
        torch_bytes({"w": torch.zeros(16 << 20)}), compression=zipfile.ZIP_DEFLATED
    )
    assert len(bomb) < 1 << 20  # for 64 MiB
    assert "compressed" in refused(bomb, tmp_path, UnsafeCheckpointError)


@pytest.mark.parametrize(
    "thing",
    [
        crafted.view((1 << 20, 1 << 20), (0, 0)),
        crafted.view((4,), (0,), 4),
        torch.empty(1 << 40, device="meta"),
        list(torch.zeros(1, 1000).expand(9, 1000)),
        [crafted.Calls(torch.UntypedStorage, (1 << 31) - 1)],
        [crafted.Calls(bytearray, (1 << 31) - 1)],
        crafted.endless_tuple(),
        [0] * 1_000_001,
    ],
    ids=[
        "stride-0",
        "small-stride-0",
        "meta",
        "nine-views",
        "storage",
        "bytearray",
        "endless",
        "nodes",
    ],
)
def test_what_claims_more_than_the_file_has_is_refused(tmp_path: Path, thing: object) -> None:
    refused(torch_bytes({"w": thing}), tmp_path, UnsafeCheckpointError)


def test_lists_in_lists_are_refused_and_not_followed(tmp_path: Path) -> None:
    refused(crafted.deep_list(200_000), tmp_path, UnsafeCheckpointError)


def test_what_hides_in_an_attribute_is_refused_too(tmp_path: Path) -> None:
    ordered = collections.OrderedDict(weights())
    ordered.hidden = crafted.endless_tuple()  # type: ignore[attr-defined]
    refused(torch_bytes(ordered), tmp_path, UnsafeCheckpointError)


def test_a_file_that_never_ends_to_open_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "SECONDS", 1.0)
    # As a key of a dict: its hash visits all 2^40 leaves.
    tuple_pickle = pickle.dumps(crafted.endless_tuple(), 2)[2:-1]
    content = crafted.with_pickle(lambda _: b"\x80\x02}" + tuple_pickle + b"K\x00s.")
    assert "took more than" in refused(content, tmp_path, UnsafeCheckpointError)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_weights_that_are_no_numbers_are_refused_by_name(
    tmp_path: Path, value: float, dtype: torch.dtype
) -> None:
    tensor = torch.zeros(10, dtype=dtype)
    tensor[3] = value
    message = refused(torch_bytes({"model": {"fc.bias": tensor}}), tmp_path, DamagedCheckpointError)
    assert '"model.fc.bias" holds NaN or infinity in 1 of 10 places' in message


def test_a_refused_file_leaves_the_reader_ready_for_the_next(tmp_path: Path) -> None:
    refused(torch_bytes({"w": crafted.shell(tmp_path / "canary")}), tmp_path, UnsafeCheckpointError)
    (tmp_path / "good").write_bytes(torch_bytes(weights()))
    assert read_checkpoint(tmp_path / "good").groups[()].keys() == weights().keys()
