"""Models of the hub are fetched by a stand-in for huggingface_hub: no test uses a network."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mimic_ray.base.errors import (
    MimicError,
    MissingObjectError,
    NotACheckpointError,
    ResourceError,
    StorageAwayError,
    TooLargeCheckpointError,
    UsageError,
)
from mimic_ray.base.storage import open_storage
from mimic_ray.weight_files.fetch import at_hand
from mimic_ray.weight_files.file_search import find_files
from mimic_ray.weight_files.layout import read_layout
from mimic_ray.weight_files.read import read_checkpoint
from tests.weight_files.test_joined import FIRST, SECOND, in_parts

LIMIT = 1 << 30


class RepositoryNotFoundError(Exception):
    pass


class Hub:
    """A hub with one model, a/b, whose files are in `folder`; `fetched` are the last names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.away = False
        self.fetched: list[str] = []

    def HfApi(self) -> Hub:
        return self

    def model_info(self, model: str, *, revision: str | None, files_metadata: bool) -> Any:
        assert files_metadata
        self._require(model)
        files = [
            SimpleNamespace(rfilename=path.relative_to(self.folder).as_posix(), size=1000)
            for path in self.folder.rglob("*")
            if path.is_file()
        ]
        return SimpleNamespace(sha=revision or "0123", siblings=files)

    def snapshot_download(self, model: str, **how: Any) -> str:
        if not how.get("local_files_only"):
            self._require(model)
            self.fetched = sorted(how["allow_patterns"])
        elif not self.fetched:
            raise FileNotFoundError
        return str(self.folder)

    def _require(self, model: str) -> None:
        if self.away:
            raise ConnectionError("no route to host")
        if model != "a/b":
            raise RepositoryNotFoundError(model)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    made = Hub(tmp_path / "hub")
    made.folder.mkdir()
    monkeypatch.setitem(sys.modules, "huggingface_hub", made)
    return made


def fill(hub: Hub, *names: str) -> None:
    for name in names:
        (hub.folder / name).parent.mkdir(exist_ok=True)
        (hub.folder / name).write_bytes(b"x")


def test_a_model_in_parts_is_fetched_whole_and_read(hub: Hub) -> None:
    in_parts(hub.folder, FIRST, SECOND)
    fill(hub, "README.md", "pytorch_model.bin", "tf_model.h5", "onnx/model.onnx", "modeling.py")
    found = read_checkpoint(at_hand("hf://a/b", LIMIT))
    assert hub.fetched == [
        "config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
    ]
    for key, tensor in {**FIRST, **SECOND}.items():
        assert torch.equal(found.groups[()][key], tensor)


@pytest.mark.parametrize(
    ("address", "fetched"),
    [
        ("hf://a/b", ["config.json", "pytorch_model.bin"]),
        ("hf://a/b/pytorch_model.bin", ["config.json", "pytorch_model.bin"]),
        ("hf://a/b@v1/sub/net.pth", ["sub/net.pth"]),
    ],
)
def test_only_what_is_read_is_fetched(hub: Hub, address: str, fetched: list[str]) -> None:
    fill(hub, "pytorch_model.bin", "config.json", "other.bin", "sub/net.pth", "vocab.txt")
    path = at_hand(address, LIMIT)
    assert hub.fetched == fetched
    assert path.is_dir() == (address == "hf://a/b")


@pytest.mark.parametrize(
    ("names", "address", "kind", "words"),
    [
        (["a.pth", "b.pth"], "hf://a/b", UsageError, r"2 checkpoints: a.pth, b.pth.*hf://a/b/a.p"),
        (["README.md"], "hf://a/b", NotACheckpointError, "no weights that are read; it has README"),
        ([], "hf://a/b", NotACheckpointError, "it has no files"),
        (["a.pth"], "hf://a/b/c.pth", MissingObjectError, "no file c.pth; it has a.pth"),
        (["a.pth"], "hf://other/model", MissingObjectError, "no such model, or it is private"),
    ],
)
def test_what_cannot_be_fetched_is_named(
    hub: Hub, names: list[str], address: str, kind: type[MimicError], words: str
) -> None:
    fill(hub, *names)
    with pytest.raises(kind, match=words):
        at_hand(address, LIMIT)


def test_the_limit_is_checked_before_anything_is_fetched(hub: Hub) -> None:
    fill(hub, "model.safetensors")
    with pytest.raises(TooLargeCheckpointError, match="1,000 bytes of weights"):
        at_hand("hf://a/b", 999)
    assert not hub.fetched


def test_without_a_network_the_cache_is_used(hub: Hub) -> None:
    fill(hub, "model.safetensors")
    hub.away = True
    with pytest.raises(StorageAwayError, match=r"no route to host.*download it elsewhere"):
        at_hand("hf://a/b", LIMIT)
    hub.away = False
    at_hand("hf://a/b", LIMIT)
    hub.away = True
    assert at_hand("hf://a/b", LIMIT) == hub.folder


def test_without_the_library_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ResourceError, match=r"pip install 'mimic-ray\[hub\]'.*hf download a/b"):
        at_hand("hf://a/b", LIMIT)


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    assert at_hand(tmp_path / "x.pth", LIMIT) == tmp_path / "x.pth"


def test_a_folder_on_object_storage_is_fetched_whole(bucket: str, tmp_path: Path) -> None:
    folder = in_parts(tmp_path / "x", FIRST, SECOND)
    storage = open_storage(f"{bucket}/some/hub-model")
    for file in folder.iterdir():
        storage.write(file.name, file)
    storage.write("README.md", b"x")
    expected = read_layout(folder).sha256
    for name in ("", "/", "/model.safetensors.index.json", "/model-00002-of-00002.safetensors"):
        path = at_hand(f"{bucket}/some/hub-model{name}", LIMIT)
        assert read_layout(path).sha256 == expected, name
        assert find_files(path).export_name == "hub-model"
    assert {file.name for file in path.parent.iterdir()} == {file.name for file in folder.iterdir()}
    single = at_hand(f"{bucket}/some/hub-model/config.json", LIMIT)
    assert single.read_bytes() == (folder / "config.json").read_bytes()


def test_a_folder_that_is_not_on_object_storage_is_named(bucket: str) -> None:
    with pytest.raises(MissingObjectError, match="nowhere does not exist"):
        at_hand(f"{bucket}/nowhere", LIMIT)
    with pytest.raises(MissingObjectError, match="does not exist"):
        at_hand(f"{bucket}/nowhere/model-00001-of-00002.safetensors", LIMIT)


def test_the_size_of_a_file_on_object_storage_is_checked_before_it_is_fetched(
    bucket: str, tmp_path: Path
) -> None:
    (tmp_path / "x.pth").write_bytes(bytes(2000))
    open_storage(f"{bucket}/some").write("x.pth", tmp_path / "x.pth")
    with pytest.raises(TooLargeCheckpointError):
        at_hand(f"{bucket}/some/x.pth", 1000)
