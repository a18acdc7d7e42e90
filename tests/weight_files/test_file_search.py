"""What a user may name, and the files that this means."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mimic_ray.weight_files.file_search import find_files

NAMES = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / name).write_bytes(b"x")
    table = {"weight_map": {"a": NAMES[0], "b": NAMES[1]}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(table))
    return tmp_path


@pytest.mark.parametrize("name", ["", "model.safetensors.index.json", *NAMES])
def test_the_folder_the_index_and_any_part_mean_all_parts(folder: Path, name: str) -> None:
    found = find_files(folder / name)
    assert found.files == tuple(folder / name for name in NAMES)
    assert found.index == {"a": NAMES[0], "b": NAMES[1]}
    assert found.folder == folder


def test_parts_without_an_index_belong_together(folder: Path) -> None:
    (folder / "model.safetensors.index.json").unlink()
    for name in ("", *NAMES):
        assert len(find_files(folder / name).files) == 2


def test_any_other_name_is_a_single_file(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("missing.pth", "loop", "a\0b", "model-1-of-2.safetensors"):
        assert find_files(tmp_path / name).files == (tmp_path / name,)
