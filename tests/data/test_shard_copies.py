"""Shards of object storage are fetched once a machine, whole; then no request is made."""

from __future__ import annotations

import pytest
import torch

from mimic_ray.base.errors import StorageError
from mimic_ray.base.storage import Storage
from mimic_ray.data import shard_copies
from mimic_ray.data.cache import open_pixels
from mimic_ray.data.image_source import open_images
from mimic_ray.data.image_subset import ImageSubset

pytestmark = pytest.mark.usefixtures("bucket")


@pytest.fixture
def requests(monkeypatch) -> list[tuple[str, int]]:
    """(name, offset) of each range that is read."""
    made = []
    read_range = Storage.read_range

    def recorded(self, name, offset, size):
        made.append((name, offset))
        return read_range(self, name, offset, size)

    monkeypatch.setattr(Storage, "read_range", recorded)
    return made


def every(pixels):
    return pixels.gather(torch.arange(len(pixels)))


def test_each_shard_is_one_request_and_later_processes_make_none(address, tmp_path, requests):
    expected = every(open_pixels(open_images(tmp_path / "local"), 8))
    assert torch.equal(every(open_pixels(open_images(address), 8)), expected)
    assert sorted(requests) == [(f"images-{number:05}.tar", 0) for number in range(3)]
    requests.clear()
    # Another side, so that the decoded images are not those in the cache.
    assert len(every(open_pixels(open_images(address), 9))) == 12
    assert requests == []


def test_large_shards_are_fetched_in_parts(address, tmp_path, requests, monkeypatch):
    monkeypatch.setattr(shard_copies, "_PART_BYTES", 1000)
    expected = every(open_pixels(open_images(tmp_path / "local"), 8))
    assert torch.equal(every(open_pixels(open_images(address), 8)), expected)
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "local").glob("*.tar")}
    parts = {(name, start) for name, size in sizes.items() for start in range(0, size, 1000)}
    assert set(requests) == parts
    assert len(requests) == len(parts)


@pytest.mark.parametrize("case", ["no room", "a few images"])
def test_ranges_are_read_where_whole_shards_do_not_pay(address, requests, monkeypatch, case):
    source = open_images(address)
    if case == "no room":
        monkeypatch.setenv("MIMIC_RAY_CACHE_GIB", "0")
    else:
        source = ImageSubset(source, [0, 5, 10])
    every(open_pixels(source, 8))
    assert {name for name, _ in requests} == {f"images-{number:05}.tar" for number in range(3)}
    assert all(offset > 0 for _, offset in requests)


def test_a_storage_that_fails_is_an_error_and_tried_again(address, monkeypatch):
    pixels = open_pixels(open_images(address), 8)
    every(pixels)
    failing = [True]
    read_range = Storage.read_range

    def fails_once(self, name, offset, size):
        if failing[0]:
            raise StorageError("The storage is away.")
        return read_range(self, name, offset, size)

    monkeypatch.setattr(Storage, "read_range", fails_once)
    monkeypatch.setenv("MIMIC_RAY_CACHE", f"{shard_copies.cache_dir()}-other")
    pixels = open_pixels(open_images(address), 8)
    with pytest.raises(StorageError, match="is away"):
        every(pixels)
    failing[0] = False
    assert len(every(pixels)) == 12


def test_a_shard_of_another_size_is_no_copy(address, monkeypatch):
    monkeypatch.setattr(Storage, "read_range", lambda *_: b"short")
    with pytest.raises(StorageError, match="changed while it was read"):
        every(open_pixels(open_images(address), 8))
    assert not list((shard_copies.cache_dir() / "tars").glob("*.t*"))


def test_a_wanted_shard_comes_before_the_others(address, monkeypatch):
    monkeypatch.setattr(shard_copies.ShardCopies, "_start_thread", lambda self: None)
    source = open_images(address)
    source.bring()
    copies = source._folders[0]._copies
    last = copies._queue[-1]
    copies._copies[last].set_result(None)  # nothing to wait for
    assert copies.path(last) is None
    assert copies._queue[0] == last
