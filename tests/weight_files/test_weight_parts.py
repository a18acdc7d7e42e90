"""An index and numbered parts name their files, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mimic_ray.base.errors import (
    DamagedCheckpointError,
    MissingCheckpointError,
    NotACheckpointError,
    TooLargeCheckpointError,
    UnsafeCheckpointError,
)
from mimic_ray.weight_files import weight_parts
from mimic_ray.weight_files.weight_parts import (
    WeightFiles,
    by_index,
    by_numbers,
    is_index,
    part_of,
)


def index_of(folder: Path, table: object) -> Path:
    path = folder / "model.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {}, "weight_map": table}))
    return path


def test_an_index_names_its_parts_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in "ba":
        (tmp_path / name).write_bytes(b"x")
    found = by_index(index_of(tmp_path, {"w": "b", "v": "a", "u": "b"}))
    assert found.files == (tmp_path / "a", tmp_path / "b")
    assert found.folder == tmp_path
    assert found.index == {"w": "b", "v": "a", "u": "b"}


@pytest.mark.parametrize("part", ["../secret", "/etc/passwd", "..", "", "a\\b", "a\0b", "sub/part"])
def test_an_index_that_names_a_file_outside_its_folder_is_refused(tmp_path: Path, part: str):
    with pytest.raises(UnsafeCheckpointError, match="outside of its folder"):
        by_index(index_of(tmp_path, {"w": part}))


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    with pytest.raises(MissingCheckpointError, match=r"needs b and 1 more, .*1 of 3 parts"):
        by_index(index_of(tmp_path, {"u": "a", "v": "b", "w": "c"}))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"weight_map": {"a": "x", "a": "y"}}', DamagedCheckpointError),
        ('{"weight_map": ', DamagedCheckpointError),
        ("[" * 100_000, DamagedCheckpointError),
        ('{"model_type": "vit"}', NotACheckpointError),
        ('{"weight_map": {"a": 3}}', NotACheckpointError),
        ('{"weight_map": {}}', NotACheckpointError),
        ("[]", NotACheckpointError),
    ],
)
def test_anything_but_an_index_is_refused(tmp_path: Path, text: str, kind: type) -> None:
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(text)
    with pytest.raises(NotACheckpointError if kind is NotACheckpointError else kind) as caught:
        by_index(path)
    assert type(caught.value) is kind
    assert str(path) in caught.value.message


def test_a_gigantic_index_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors.index.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(TooLargeCheckpointError):
        by_index(path)


def test_too_many_parts_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_parts, "PART_LIMIT", 2)
    with pytest.raises(UnsafeCheckpointError, match="3 parts"):
        by_index(index_of(tmp_path, {key: key for key in "abc"}))


def test_parts_are_found_by_their_numbers(tmp_path: Path) -> None:
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    (tmp_path / names[1]).write_bytes(b"x")
    with pytest.raises(MissingCheckpointError, match="needs model-00001-of-00002"):
        by_numbers(tmp_path / names[1])
    (tmp_path / names[0]).write_bytes(b"x")
    assert by_numbers(tmp_path / names[1]).files == tuple(tmp_path / name for name in names)


def test_a_name_with_impossible_numbers_is_a_single_file(tmp_path: Path) -> None:
    for name in ("a-00003-of-00002.bin", "a-00000-of-00002.bin", "a-00001-of-99999.bin"):
        assert by_numbers(tmp_path / name).files == (tmp_path / name,)


def test_names_of_parts_and_indexes() -> None:
    assert part_of("pytorch_model-00001-of-00003.bin") == "pytorch_model.bin"
    assert part_of("model.safetensors") == ""
    assert is_index("model.safetensors.index.json")
    assert is_index("model.safetensors.index.fp16.json")
    assert not is_index("config.json")


def test_the_name_of_a_copy() -> None:
    file = Path("/x/a.pth")
    cached = Path("/c/models--facebook--dinov2-small/snapshots/0123")
    assert WeightFiles((file,)).export_name == "a.pth"
    assert WeightFiles((file,), Path("/x")).export_name == "x"
    assert WeightFiles((cached / "a",), cached).export_name == "dinov2-small"
