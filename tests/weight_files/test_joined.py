"""Parts are read as the one checkpoint that they are."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mimic_ray.base.errors import (
    DamagedCheckpointError,
    NotACheckpointError,
    TooLargeCheckpointError,
    UnsafeCheckpointError,
)
from mimic_ray.weight_files.joined import checksum
from mimic_ray.weight_files.layout import read_layout
from mimic_ray.weight_files.read import read_checkpoint

FIRST = {"a.weight": torch.ones(2, 3), "a.bias": torch.zeros(2)}
SECOND = {"b.weight": torch.full((4,), 7.0).half()}


def in_parts(folder: Path, *parts: dict[str, torch.Tensor], suffix: str = "safetensors") -> Path:
    """A folder as transformers writes it: parts, their index and config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = "model" if suffix == "safetensors" else "pytorch_model"
    table = {}
    for number, part in enumerate(parts, 1):
        name = f"{stem}-{number:05}-of-{len(parts):05}.{suffix}"
        if suffix == "safetensors":
            save_file(part, folder / name, {"format": "pt"})
        else:
            torch.save(part, folder / name)
        table |= dict.fromkeys(part, name)
    (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps({"weight_map": table}))
    (folder / "config.json").write_text('{"model_type": "vit", "hidden_size": 2}')
    return folder


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_all_parts_are_read_as_one(tmp_path: Path, suffix: str) -> None:
    folder = in_parts(tmp_path / "x", FIRST, SECOND, suffix=suffix)
    found = read_checkpoint(folder)
    assert list(found.groups) == [()]
    assert found.groups[()].keys() == FIRST.keys() | SECOND.keys()
    for key, tensor in {**FIRST, **SECOND}.items():
        assert torch.equal(found.groups[()][key], tensor)
    assert found.format == ("safetensors" if suffix == "safetensors" else "torch-zip")
    assert found.config == {"model_type": "vit", "hidden_size": 2}
    assert found.notes["config.json"] == "vit, width 2"
    assert read_layout(folder) == found.layout()


def test_the_checksum_is_what_sha256sum_says(tmp_path: Path) -> None:
    folder = in_parts(tmp_path / "x", FIRST, SECOND)
    command = "sha256sum model-*.safetensors | sha256sum"
    printed = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True)
    found = read_layout(folder)
    assert found.sha256 == printed.stdout.split()[0] == checksum(folder)
    assert [part.name[:11] for part in found.parts] == ["model-00001", "model-00002"]
    single = folder / found.parts[0].name
    (folder / "only.safetensors").write_bytes(single.read_bytes())
    assert read_layout(folder / "only.safetensors").sha256 == found.parts[0].sha256


def test_a_key_in_two_parts_is_refused(tmp_path: Path) -> None:
    folder = in_parts(tmp_path / "x", FIRST, SECOND)
    save_file(FIRST | SECOND, folder / "model-00002-of-00002.safetensors")
    with pytest.raises(UnsafeCheckpointError, match=r'"a\..*" is in two parts'):
        read_layout(folder)


def test_a_part_that_lacks_a_key_of_the_index_is_named(tmp_path: Path) -> None:
    folder = in_parts(tmp_path / "x", FIRST, SECOND)
    save_file({"other": torch.ones(1)}, folder / "model-00002-of-00002.safetensors")
    with pytest.raises(
        DamagedCheckpointError, match=r'00002-of-00002.safetensors lacks "b\.weight'
    ):
        read_layout(folder)


def test_the_limit_is_for_all_parts_together(tmp_path: Path) -> None:
    folder = in_parts(tmp_path / "x", FIRST, SECOND)
    sizes = [part.size for part in read_layout(folder).parts]
    assert read_layout(folder, sum(sizes)).parts
    with pytest.raises(TooLargeCheckpointError, match="in 2 parts"):
        read_layout(folder, sum(sizes) - 1)


def test_parts_without_weights_are_refused(tmp_path: Path) -> None:
    torch.save({"step": 3}, tmp_path / "model.pt")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(NotACheckpointError, match="no named tensors"):
        read_layout(tmp_path)


def test_the_state_of_an_optimizer_is_named(tmp_path: Path) -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([weight])
    weight.sum().backward()
    optimizer.step()
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    with pytest.raises(NotACheckpointError, match="is the state of an optimizer: give the file"):
        read_layout(tmp_path / "optimizer.pt")


def test_links_of_the_cache_of_a_hub_are_followed(tmp_path: Path) -> None:
    folder = in_parts(tmp_path / "blobs", FIRST, SECOND)
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    for file in folder.iterdir():
        (snapshot / file.name).symlink_to(file)
    assert read_layout(snapshot).sha256 == read_layout(folder).sha256
