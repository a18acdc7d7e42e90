"""Checks of the zip container of a torch file."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
import torch

from mimic_ray.base.errors import (
    DamagedCheckpointError,
    UnsafeCheckpointError,
)
from mimic_ray.weight_files.read import read_checkpoint
from tests.weight_files import crafted
from tests.weight_files.crafted import refused, torch_bytes, weights


def test_compressed_code_is_not_read(tmp_path: Path) -> None:
    buffer = io.BytesIO(torch_bytes(weights()))
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/code/__torch__.py", b"x" * 10_000)
    damaged = bytearray(buffer.getvalue())
    damaged[damaged.rindex(b"__torch__.py", 0, -100) + 20] ^= 1
    (tmp_path / "file").write_bytes(damaged)
    assert read_checkpoint(tmp_path / "file").groups[()].keys() == weights().keys()


@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_truncated_file_is_damaged(tmp_path: Path, share: float, legacy: bool) -> None:
    content = torch_bytes({"w": torch.zeros(5000)}, legacy)
    refused(content[: int(share * len(content))], tmp_path, DamagedCheckpointError)


def test_a_flipped_bit_in_the_weights_is_found_and_its_record_named(tmp_path: Path) -> None:
    content = bytearray(torch_bytes({"w": torch.full((64,), 1.5)}))
    offset = content.index(torch.full((64,), 1.5).numpy().tobytes())
    content[offset + 9] ^= 1
    assert "/data/0" in refused(bytes(content), tmp_path, DamagedCheckpointError)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_records_with_the_same_name_are_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO(torch_bytes(weights()))
    with zipfile.ZipFile(buffer, "a") as archive:
        name = next(one for one in archive.namelist() if one.endswith("/data/0"))
        archive.writestr(name, b"other weights")
    assert "two records" in refused(buffer.getvalue(), tmp_path, UnsafeCheckpointError)


@pytest.mark.parametrize("name", ["archive/../../x", "../x", "/etc/x", "second/x"])
def test_records_outside_the_single_folder_are_refused(tmp_path: Path, name: str) -> None:
    buffer = io.BytesIO(torch_bytes(weights()))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(name, b"x")
    assert "not in one folder" in refused(buffer.getvalue(), tmp_path, UnsafeCheckpointError)


def test_bytes_before_the_archive_are_refused(tmp_path: Path) -> None:
    content = b"PK\x03\x04" + torch_bytes(weights())
    assert "before its first record" in refused(content, tmp_path, UnsafeCheckpointError)


def test_a_compressed_record_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    bomb = crafted.rezipped(
        torch_bytes({"w": torch.zeros(16 << 20)}), compression=zipfile.ZIP_DEFLATED
    )
    assert len(bomb) < 1 << 20  # for 64 MiB
    assert "compressed" in refused(bomb, tmp_path, UnsafeCheckpointError)
