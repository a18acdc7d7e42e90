from __future__ import annotations

import io
import tarfile

import pytest

from mimic_ray.base.errors import DataError
from mimic_ray.data import shard_index
from mimic_ray.data.image_source import open_images
from mimic_ray.data.shard_index import index_file, index_tar


def test_the_index_is_made_once_and_again_when_the_shard_changes(
    shards, samples, write_tar, monkeypatch
):
    open_images(shards)
    with monkeypatch.context() as patch:
        patch.setattr(shard_index, "members_of", lambda *_: pytest.fail("indexed again"))
        assert len(open_images(shards)) == 12
    write_tar(shards / "train-1.tar", samples(range(6, 9)))
    assert len(open_images(shards)) == 9


def test_the_index_of_a_file_is_that_of_its_path(shards):
    path = shards / "train-0.tar"
    content = path.read_bytes()
    found = index_file(io.BytesIO(content), len(content), "train-0.tar", "train-0.tar")
    assert found == index_tar(path, "train-0.tar")
    assert [entry.label for entry in found] == [number % 3 for number in range(6)]


def test_shadow_files_of_macos_are_not_images(tmp_path, encoded, write_tar):
    members = {"a/._1.png": b"shadow", "a/1.png": encoded(1)}
    path = write_tar(tmp_path / "a.tar", members, tarfile.PAX_FORMAT)
    assert [entry.key for entry in index_tar(path, "a.tar")] == ["a/1"]


def test_a_missing_tar_is_named(tmp_path):
    with pytest.raises(DataError, match=r"a\.tar cannot be read: No such file"):
        index_tar(tmp_path / "a.tar", "a.tar")
