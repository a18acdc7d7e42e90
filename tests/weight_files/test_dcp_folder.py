"""Folders of torch.distributed.checkpoint are read without torch's loader and written in place."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from mimic_ray.base.errors import (
    CheckpointError,
    DamagedCheckpointError,
    MissingCheckpointError,
    NotACheckpointError,
    UnsafeCheckpointError,
)
from mimic_ray.encoders import encoder_registry
from mimic_ray.weight_files import sandbox
from mimic_ray.weight_files.dcp_folder import write_dcp
from mimic_ray.weight_files.file_search import find_files
from mimic_ray.weight_files.joined import checksum
from mimic_ray.weight_files.layout import read_layout
from mimic_ray.weight_files.read import read_checkpoint
from mimic_ray.weight_files.resolve import fit
from mimic_ray.weight_files.write import write_like
from tests.weight_files.crafted import shell
from tests.weight_files.test_mutations import mutation

if TYPE_CHECKING:
    from torch.distributed.checkpoint.metadata import Metadata

WEIGHTS = {
    "a.weight": torch.arange(12.0).reshape(3, 4),
    "half": torch.ones(5, dtype=torch.bfloat16),
    "count": torch.tensor(7),
    "none": torch.zeros(0, 3),
}


def save(folder: Path, content: dict[str, Any]) -> Path:
    import torch.distributed.checkpoint as dcp

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save(content, checkpoint_id=str(folder), no_dist=True)
    return folder


def load(folder: Path, content: dict[str, Any]) -> dict[str, Any]:
    import torch.distributed.checkpoint as dcp

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.load(content, checkpoint_id=str(folder), no_dist=True)
    return content


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    content = {"model": WEIGHTS, "optimizer": {"state": {"m": torch.ones(2)}, "lr": 0.1}, "step": 3}
    return save(tmp_path / "dcp", content)


@pytest.mark.parametrize("name", ["", ".metadata", "__0_0.distcp"])
def test_the_folder_and_its_files_mean_all_tensors(folder: Path, name: str) -> None:
    found = read_checkpoint(folder / name)
    assert found.format == "torch-distributed"
    assert found.groups.keys() == {("model",), ("optimizer", "state")}
    for key, tensor in WEIGHTS.items():
        assert torch.equal(found.groups["model",][key], tensor)
        assert found.groups["model",][key].dtype == tensor.dtype
    assert found.notes == {"other items": "2 items without tensors, not read"}
    assert found.contents.finding() == ""
    assert found.contents.harmless == ["torch.distributed.checkpoint"]
    assert read_layout(folder) == read_checkpoint(folder).layout()
    assert found.sha256 == checksum(folder)


def edited(folder: Path, change: Callable[[Metadata], None]) -> None:
    """Changes the index, by torch's own classes."""
    index = pickle.loads((folder / ".metadata").read_bytes())
    change(index)
    (folder / ".metadata").write_bytes(pickle.dumps(index))


def split(folder: Path) -> None:
    """a.weight as two ranks would have it: rows 0 to 1 and row 2, in files of their own."""
    whole = WEIGHTS["a.weight"]
    rows = {0: whole[:2], 2: whole[2:]}
    other = save(folder.parent / "rows", {str(first): part.clone() for first, part in rows.items()})
    (other / "__0_0.distcp").rename(folder / "__1_0.distcp")
    there = pickle.loads((other / ".metadata").read_bytes()).storage_data
    infos = {int(key.fqn): info for key, info in there.items()}

    def change(index: Metadata) -> None:
        entry = index.state_dict_metadata["model.a.weight"]
        kind, at = type(entry.chunks[0]), type(next(iter(index.storage_data)))
        entry.chunks = [
            kind(torch.Size([first, 0]), torch.Size(part.shape)) for first, part in rows.items()
        ]
        for first in rows:
            infos[first].relative_path = "__1_0.distcp"
            index.storage_data[at("model.a.weight", torch.Size([first, 0]))] = infos[first]

    edited(folder, change)


def test_chunks_of_several_ranks_make_up_one_tensor(folder: Path) -> None:
    split(folder)
    assert torch.equal(
        load(folder, {"model": {"a.weight": torch.zeros(3, 4)}})["model"]["a.weight"],
        WEIGHTS["a.weight"],
    )
    found = read_checkpoint(folder)
    assert torch.equal(found.groups["model",]["a.weight"], WEIGHTS["a.weight"])
    assert [part.name for part in found.parts] == [".metadata", "__0_0.distcp", "__1_0.distcp"]


@pytest.mark.parametrize("is_split", [False, True])
def test_values_are_replaced_in_place_and_torch_loads_them(
    folder: Path, tmp_path: Path, is_split: bool
) -> None:
    if is_split:
        split(folder)
    new = {(("model",), key): 2 * value for key, value in WEIGHTS.items() if key != "none"}
    (tmp_path / "out").mkdir()
    written = write_dcp(find_files(folder), new, set(), tmp_path / "out")
    assert written == new.keys()
    assert (tmp_path / "out" / ".metadata").read_bytes() == (folder / ".metadata").read_bytes()
    template = {key: torch.zeros_like(value) for key, value in WEIGHTS.items()}
    content = {"model": template, "optimizer": {"state": {"m": torch.zeros(2)}, "lr": 0.0}}
    loaded = load(tmp_path / "out", {**content, "step": 0})
    for key, value in WEIGHTS.items():
        assert torch.equal(loaded["model"][key], 2 * value)
    assert torch.equal(loaded["optimizer"]["state"]["m"], torch.ones(2))
    assert (loaded["optimizer"]["lr"], loaded["step"]) == (0.1, 3)
    # Our own reader compares every checksum of a record.
    again = read_checkpoint(tmp_path / "out").groups["model",]
    assert torch.equal(again["a.weight"], 2 * WEIGHTS["a.weight"])


def test_the_export_is_the_same_folder_with_the_encoders_weights(tmp_path: Path) -> None:
    encoder = encoder_registry.build("tiny_resnet")
    folder = save(tmp_path / "in", {"app": {"model": encoder.net.state_dict(), "step": 7}})
    found = fit(read_checkpoint(folder), encoder)
    assert found.group == ("app", "model")
    write_like(folder, found, {k: 2 * v for k, v in found.state.items()}, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {".metadata", "__0_0.distcp"}
    again = fit(read_checkpoint(tmp_path / "out"), encoder).state
    for key, value in found.state.items():
        assert torch.equal(again[key], 2 * value)


def test_positions_of_another_size_do_not_fit(folder: Path, tmp_path: Path) -> None:
    stored = ("model",), "a.weight"
    with pytest.raises(CheckpointError, match=r"do not fit .* size of the file's own"):
        write_dcp(find_files(folder), {stored: torch.ones(9, 4)}, {stored}, tmp_path)


def _chunk(index: Metadata) -> Any:
    return index.state_dict_metadata["model.a.weight"].chunks[0]


def _info(index: Metadata) -> Any:
    return next(info for key, info in index.storage_data.items() if key.fqn == "model.a.weight")


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (lambda m: setattr(_info(m), "relative_path", "../x"), UnsafeCheckpointError, "outside"),
        (lambda m: setattr(_info(m), "relative_path", "/etc/x"), UnsafeCheckpointError, "outside"),
        (lambda m: setattr(_info(m), "relative_path", "b"), MissingCheckpointError, "needs b"),
        (lambda m: setattr(_info(m), "length", 1 << 40), DamagedCheckpointError, "is shorter"),
        (lambda m: setattr(_info(m), "offset", -5), DamagedCheckpointError, "negative"),
        (lambda m: setattr(_info(m), "offset", 1), UnsafeCheckpointError, "byte 1 was not"),
        (
            lambda m: setattr(_chunk(m), "sizes", torch.Size([2, 4])),
            DamagedCheckpointError,
            "do not make up",
        ),
        (
            lambda m: m.state_dict_metadata["model.a.weight"].chunks.append(_chunk(m)),
            DamagedCheckpointError,
            "do not make up",
        ),
        (lambda m: m.storage_data.clear(), DamagedCheckpointError, "is damaged"),
        (
            lambda m: setattr(_info(m), "transform_descriptors", ["zstd"]),
            DamagedCheckpointError,
            "compressed by an extension",
        ),
    ],
)
def test_an_index_that_is_wrong_is_refused(
    folder: Path, change: Callable[[Metadata], None], kind: type[CheckpointError], words: str
) -> None:
    edited(folder, change)
    with pytest.raises(kind, match=words) as caught:
        read_checkpoint(folder)
    assert type(caught.value) is kind


def test_a_tensor_larger_than_the_folder_is_not_allocated(folder: Path) -> None:
    def change(index: Metadata) -> None:
        entry = index.state_dict_metadata["model.a.weight"]
        entry.size = _chunk(index).sizes = torch.Size([1 << 40, 4])

    edited(folder, change)
    with pytest.raises(UnsafeCheckpointError, match="its tensors claim"):
        read_checkpoint(folder)


def test_an_index_runs_nothing(folder: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    (folder / ".metadata").write_bytes(pickle.dumps(shell(canary)))
    with pytest.raises(NotACheckpointError, match="is not an index"):
        read_checkpoint(folder)
    edited_folder = save(tmp_path / "b", {"model": WEIGHTS})
    edited(edited_folder, lambda index: setattr(index, "version", shell(canary)))
    canary.unlink(missing_ok=True)
    found = read_checkpoint(edited_folder)
    assert "system" in found.contents.finding()
    assert not canary.exists()


def test_a_folder_without_its_index_is_named(folder: Path) -> None:
    (folder / ".metadata").unlink()
    with pytest.raises(MissingCheckpointError, match=r"without \.metadata"):
        read_checkpoint(folder)


def test_flipped_bits_are_found(folder: Path) -> None:
    path = folder / "__0_0.distcp"
    content = bytearray(path.read_bytes())
    start = content.index(WEIGHTS["a.weight"].numpy().tobytes())
    content[start + 5] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedCheckpointError, match="checksum"):
        read_checkpoint(folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", [".metadata", "__0_0.distcp"])
def test_a_damaged_folder_gives_weights_or_a_sentence(folder: Path, name: str) -> None:
    whole = (folder / name).read_bytes()
    refused = 0
    with sandbox.shared():
        for seed in range(1000):
            (folder / name).write_bytes(mutation(seed)(whole))
            try:
                read_checkpoint(folder)
            except CheckpointError:
                refused += 1
    assert refused > 500
