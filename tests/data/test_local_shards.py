from __future__ import annotations

import gc
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from mimic_ray.base.errors import BrokenImageError, DataError
from mimic_ray.data.image_source import open_images
from mimic_ray.data.local_shards import LocalShards


def test_a_folder_instead_of_a_tar_is_named(shards):
    (shards / "train-0.tar").unlink()
    (shards / "train-0.tar").mkdir()
    with pytest.raises(DataError, match=r"train-0\.tar cannot be read: it is not a regular file"):
        open_images(shards)


def test_a_pipe_with_the_name_of_a_tar_does_not_block(shards):
    os.mkfifo(shards / "train-2.tar")
    with pytest.raises(DataError, match=r"train-2\.tar cannot be read: it is not a regular file"):
        open_images(shards)


def test_an_image_over_the_size_limit_is_broken(shards, monkeypatch):
    monkeypatch.setattr("mimic_ray.data.local_shards.IMAGE_LIMIT_BYTES", 100)
    with pytest.raises(BrokenImageError, match="over the limit"):
        open_images(shards).read(0)


def test_an_image_is_broken_if_its_shard_was_truncated_while_open(shards):
    source = open_images(shards)
    os.truncate(shards / "train-0.tar", 700)
    with pytest.raises(BrokenImageError, match="truncated while in use"):
        source.read(5)


def test_threads_can_read_at_the_same_time(shards, encoded):
    source = open_images(shards)
    rows = [number % 12 for number in range(400)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(source.read, rows)) == [encoded(row) for row in rows]


def test_a_folder_with_a_name_that_is_not_utf8_can_be_read(tmp_path, samples, write_tar):
    folder = tmp_path / "d\udcfe"
    folder.mkdir()
    write_tar(folder / "a\udcff.tar", samples(range(3)))
    assert len(open_images(folder)) == 3


def test_files_are_closed_when_the_set_is_deleted(shards):
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    before = descriptors()
    source = open_images(shards)
    assert descriptors() == before + 2
    del source
    gc.collect()
    assert descriptors() == before


def test_a_missing_file_is_none(tmp_path):
    folder = LocalShards(tmp_path)
    assert folder.open("a.tar") is None
    assert folder.read_file("classes.json") is None
