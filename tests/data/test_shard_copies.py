"""Shards of object storage are fetched once a machine, whole; then no request is made."""

from __future__ import annotations

import gc

import pytest
import torch

from mimic_ray.base.errors import StorageError
from mimic_ray.base.storage import Storage
from mimic_ray.data import shard_copies, shard_plan
from mimic_ray.data.decoded_set import open_pixels
from mimic_ray.data.image_source import open_images
from mimic_ray.data.image_subset import ImageSubset
from mimic_ray.data.shard_plan import ShardPlan, plan_for
from mimic_ray.data.shard_writer import build

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


# Twelve shards of an image each, and space for eight: what four images need, and four ahead.
SHARD_BYTES = 10_240
ROOM = 8


@pytest.fixture
def large(image_folder, bucket, monkeypatch) -> str:
    """A set that is larger than the cache folder."""
    build(open_images(image_folder), f"{bucket}/large", per_shard=1)
    monkeypatch.setattr(shard_plan, "WINDOW", 1)
    monkeypatch.setattr("mimic_ray.data.decoded_set.WINDOW", 1)
    limit_to(monkeypatch, ROOM)
    return f"{bucket}/large"


def limit_to(monkeypatch, shards: int) -> None:
    # Beside the copies, a tenth of the folder is kept free.
    monkeypatch.setenv("MIMIC_RAY_CACHE_GIB", str((shards + 0.5) * SHARD_BYTES / 0.9 / (1 << 30)))


def held() -> int:
    return sum(path.stat().st_size for path in (shard_copies.cache_dir() / "tars").iterdir())


def epoch(pixels, plan, number: int = 0, rank: int = 0, world_size: int = 1) -> torch.Tensor:
    """What a worker reads in an epoch, as in the training loop."""
    parts = []
    for step in range(number * plan.steps_per_epoch, (number + 1) * plan.steps_per_epoch):
        shard_plan.expect_shards(plan, pixels, step, rank, world_size)
        parts.append(pixels.gather(plan.share(step, rank, world_size)))
    return torch.cat(parts)


def order(plan, number: int = 0, rank: int = 0, world_size: int = 1) -> torch.Tensor:
    steps = range(number * plan.steps_per_epoch, (number + 1) * plan.steps_per_epoch)
    return torch.cat([plan.share(step, rank, world_size) for step in steps])


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


@pytest.mark.parametrize("case", ["no space", "a few images"])
def test_ranges_are_read_where_whole_shards_do_not_pay(address, requests, monkeypatch, case):
    source = open_images(address)
    if case == "no space":
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
    copy = copies._paths[last]
    copy.parent.mkdir(parents=True)
    copy.touch()
    copies._copies[last].set_result(copy)  # nothing to wait for
    assert copies.path(last) == copy
    assert copies._queue[0] == last


def test_a_set_larger_than_the_cache_is_read_by_shard_and_stays_within_its_limit(
    large, image_folder, requests, monkeypatch
):
    expected = every(open_pixels(open_images(image_folder), 8))
    pixels = open_pixels(open_images(large), 8, by_shard=True)
    plan = plan_for(pixels, 3, 5, lambda flag: flag)
    assert isinstance(plan, ShardPlan)
    most, free_space = [], shard_copies.ShardCopies._free_space

    def watched(self, temporary, size):
        free_space(self, temporary, size)
        most.append(held())

    monkeypatch.setattr(shard_copies.ShardCopies, "_free_space", watched)
    for number in range(4):
        requests.clear()
        assert torch.equal(epoch(pixels, plan, number), expected[order(plan, number)])
        # Shards are read whole; some are still there from the epoch before.
        assert len(requests) <= 12
        assert {offset for _, offset in requests} == {0}
    assert requests
    assert ROOM - 1 <= max(most) / SHARD_BYTES <= ROOM


def test_shares_that_fit_are_fetched_once(large, image_folder, requests, monkeypatch, tmp_path):
    expected = every(open_pixels(open_images(image_folder), 8))
    plan = ShardPlan(open_pixels(open_images(large), 8, by_shard=True).shards(), 4, 5)
    for rank in range(2):  # on two machines
        monkeypatch.setenv("MIMIC_RAY_CACHE", str(tmp_path / f"machine-{rank}"))
        pixels = open_pixels(open_images(large), 8, by_shard=True)
        each = ShardPlan(pixels.shards(), 4, 5)
        requests.clear()
        for number in range(3):
            assert torch.equal(
                epoch(pixels, each, number, rank, 2), expected[order(plan, number, rank, 2)]
            )
        assert len(requests) == 6  # images of its share


def test_two_workers_of_a_machine_share_the_space(large, image_folder):
    expected = every(open_pixels(open_images(image_folder), 8))
    workers = [open_pixels(open_images(large), 8, by_shard=True) for _ in range(2)]
    plans = [ShardPlan(pixels.shards(), 4, 5) for pixels in workers]
    for number in range(3):
        for rank, (pixels, plan) in enumerate(zip(workers, plans, strict=True)):
            read = epoch(pixels, plan, number, rank, 2)
            assert torch.equal(read, expected[order(plan, number, rank, 2)])
            assert held() <= ROOM * SHARD_BYTES


def test_copies_of_another_set_free_space(large, address, monkeypatch):
    limit_to(monkeypatch, 40)
    every(open_pixels(open_images(address), 8))
    assert held() > 0
    limit_to(monkeypatch, ROOM)
    gc.collect()  # nothing reads the other set any more
    pixels = open_pixels(open_images(large), 8, by_shard=True)
    epoch(pixels, plan_for(pixels, 3, 5, lambda flag: flag))
    assert held() <= ROOM * SHARD_BYTES


def test_an_image_of_a_shard_that_is_not_expected_is_read_by_range(large, requests):
    pixels = open_pixels(open_images(large), 8, by_shard=True)
    pixels.expect([0])
    pixels.gather(torch.tensor([0, 7]))
    assert ("images-00007.tar", 512) in requests
    assert ("images-00000.tar", 0) in requests


@pytest.mark.parametrize(("space", "by_shard"), [(7, True), (6, False), (12, False)])
def test_sets_are_read_by_shard_if_they_do_not_fit_but_a_window_does(
    large, monkeypatch, space, by_shard
):
    limit_to(monkeypatch, space)
    pixels = open_pixels(open_images(large), 8, by_shard=True)
    assert pixels.too_large == by_shard


def test_the_decoded_images_leave_space_for_the_shards(large, cache, monkeypatch):
    """What fits is copied whole; decoded images take the rest of the folder."""
    side, row = 64, 3 * 64 * 64
    monkeypatch.setenv("MIMIC_RAY_CACHE_GIB", str((12 * SHARD_BYTES + 5 * row) / (1 << 30)))
    pixels = open_pixels(open_images(large), side)
    every(pixels)
    (file,) = (cache / "pixels").glob("*/pixels.npy")
    assert file.stat().st_size < 6 * row
