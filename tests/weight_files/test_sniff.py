"""Files that are not checkpoints are identified before anything parses them."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save as safetensors_save

from mimic_ray.base.errors import (
    NotACheckpointError,
    TooLargeCheckpointError,
)
from mimic_ray.weight_files.read import read_checkpoint
from tests.weight_files.crafted import refused, torch_bytes, weights


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_the_bytes_determine_the_format_and_not_the_suffix(tmp_path: Path, legacy: bool) -> None:
    (tmp_path / "a.safetensors").write_bytes(torch_bytes(weights(), legacy))
    (tmp_path / "b.pt").write_bytes(safetensors_save(weights()))
    formats = [read_checkpoint(tmp_path / name).format for name in ("a.safetensors", "b.pt")]
    assert formats == ["torch-legacy" if legacy else "torch-zip", "safetensors"]


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
        (b'{"error":"Repository not found"}', "error message from a server"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
        (np.random.default_rng(0).bytes(4096), "neither a safetensors nor a torch file"),
        (tar(), "tar archive"),
        (b"\x80\x04\x95\x00cjoblib.numpy_pickle\n", "pickle of joblib"),
        (pickle.dumps({"a": [1.0]}, 2), "did not write"),
        (torch_bytes({"epoch": 1}), "no named tensors"),
        (torch_bytes([torch.ones(2)]), "no named tensors"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_a_file_that_is_not_a_checkpoint_is_identified(
    tmp_path: Path, content: bytes, words: str
) -> None:
    assert words in refused(content, tmp_path, NotACheckpointError)


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path, words in {
        tmp_path / "missing": "There is no file",
        tmp_path: "is a folder without files",
        tmp_path / "pipe": "pipe or device",
        Path("/dev/zero"): "pipe or device",
        tmp_path / "loop": "cannot be opened",
        Path("a\0b"): "cannot be opened",
    }.items():
        with pytest.raises(NotACheckpointError, match=words):
            read_checkpoint(path)


def test_the_message_shows_the_target_of_a_link(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"<html>")
    (tmp_path / "weights.pt").symlink_to(tmp_path / "blob")
    with pytest.raises(NotACheckpointError, match=r"weights\.pt -> .*blob is a web page"):
        read_checkpoint(tmp_path / "weights.pt")


def test_a_file_over_the_size_limit_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(64 << 30)
    with pytest.raises(TooLargeCheckpointError, match="68,719,476,736"):
        read_checkpoint(tmp_path / "sparse")
