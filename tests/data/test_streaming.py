"""Streaming as a whole: a set on storage, larger than memory, shared by workers."""

from __future__ import annotations

import hashlib
import io
import resource
import subprocess
import sys
import tarfile

import numpy as np
import pytest
import simplejpeg
import torch

from mimic_ray.base.errors import StorageError
from mimic_ray.base.storage import Storage, open_storage
from mimic_ray.data import cache as cache_module
from mimic_ray.data.cache import open_pixels
from mimic_ray.data.decode import decode
from mimic_ray.data.epoch import EpochPlan
from mimic_ray.data.image_source import open_images
from mimic_ray.data.manifest import MANIFEST, SET
from mimic_ray.data.shard_writer import build


@pytest.fixture
def place(image_folder, tmp_path, bucket) -> str:
    """Twelve images in three shards with a manifest, on S3."""
    build(open_images(image_folder), tmp_path / "local", per_shard=4)
    storage = open_storage(f"{bucket}/set")
    for path in (tmp_path / "local").iterdir():
        storage.write(path.name, path)
    return f"{bucket}/set"


@pytest.fixture
def fetched(monkeypatch) -> list[tuple[str, int, int]]:
    asked = []
    read_range = Storage.read_range

    def recorded(self, name, offset, size):
        asked.append((name, offset, size))
        return read_range(self, name, offset, size)

    monkeypatch.setattr(Storage, "read_range", recorded)
    return asked


def epoch(pixels, rank=0, world_size=1, number=0) -> list[np.ndarray]:
    plan = EpochPlan(len(pixels), 4, seed=1)
    steps = range(number * plan.steps_per_epoch, (number + 1) * plan.steps_per_epoch)
    return [pixels.gather(plan.share(step, rank, world_size)).numpy() for step in steps]


def test_opening_fetches_nothing_the_first_epoch_each_image_once_and_the_next_nothing(
    place, fetched, image_folder
):
    source = open_images(place)
    pixels = open_pixels(source, 8)
    assert fetched == []
    first = epoch(pixels)
    assert sum(size for _, _, size in fetched) >= sum(entry.size for entry in source.entries)
    fetched.clear()
    epoch(pixels, number=1)
    assert fetched == []
    local = epoch(open_pixels(open_images(image_folder), 8))
    assert all(map(np.array_equal, first, local))


def test_a_later_run_on_the_same_images_fetches_nothing_wherever_they_lie(
    place, tmp_path, fetched, monkeypatch
):
    epoch(open_pixels(open_images(place), 8))
    fetched.clear()
    epoch(open_pixels(open_images(place), 8))
    assert fetched == []
    monkeypatch.setattr(cache_module, "decode", lambda _: pytest.fail("decoded again"))
    epoch(open_pixels(open_images(tmp_path / "local"), 8, memory_limit_bytes=0))


def test_a_worker_fetches_its_own_share_alone(place, fetched, monkeypatch):
    monkeypatch.setattr("mimic_ray.data.remote_shards._GAP_BYTES", 0)
    source = open_images(place)
    pixels = open_pixels(source, 8)
    epoch(pixels, rank=1, world_size=2)
    plan = EpochPlan(12, 4, seed=1)
    mine = torch.cat([plan.share(step, 1, 2) for step in range(3)]).tolist()
    wanted = [(source.entries[i].shard, source.entries[i].offset) for i in mine]
    assert sorted(where[:2] for where in fetched) == sorted(wanted)


def test_workers_of_one_machine_fetch_the_set_once_between_them(place, fetched):
    workers = [open_pixels(open_images(place), 8) for _ in range(2)]
    shares = [epoch(pixels, rank, 2) for rank, pixels in enumerate(workers)]
    fetched.clear()
    for number in (1, 2):
        shares = [epoch(pixels, rank, 2, number) for rank, pixels in enumerate(workers)]
    assert fetched == []
    alone = epoch(open_pixels(open_images(place), 8), number=2)
    joined = [np.concatenate(parts) for parts in zip(*shares, strict=True)]
    assert all(map(np.array_equal, joined, alone))


def test_a_storage_that_fails_stops_the_batch_and_what_was_fetched_stays(place):
    pixels = open_pixels(open_images(place), 8)
    pixels.gather(torch.arange(4))
    for found in open_storage(place).list():
        if found.name.endswith(".tar"):
            open_storage(place).delete(found.name)
    assert pixels.gather(torch.arange(4)).shape[0] == 4
    with pytest.raises(StorageError, match="does not exist"):
        pixels.gather(torch.tensor([5]))
    assert pixels.broken == []


def test_broken_images_of_a_remote_set_are_replaced_as_those_of_a_local_one(
    bucket, write_tar, encoded, tmp_path
):
    members = {f"{n:02}.png": encoded(n)[: 60 if n in (3, 4, 9) else None] for n in range(12)}
    tar = write_tar(tmp_path / "a.tar", members)
    open_storage(f"{bucket}/bare").write("a.tar", tar)
    here = open_pixels(open_images(tar), 8, broken_share=0.3)
    there = open_pixels(open_images(f"{bucket}/bare"), 8, broken_share=0.3)
    everything = torch.arange(12)
    assert torch.equal(here.gather(everything), there.gather(everything))
    assert here.broken == there.broken
    assert [key for key, _ in there.broken] == ["03", "04", "09"]


# Opens a set under a limit on what the process may allocate beyond what it has, and trains on it
# for an epoch: argument 1 is the set, 2 the side, 3 the bytes allowed, 4 the disk limit.
UNDER_A_LIMIT = """
import hashlib, re, resource, sys, torch
from mimic_ray.data.prefetch import Ahead
from mimic_ray.data.cache import open_pixels
from mimic_ray.data.epoch import EpochPlan
from mimic_ray.data.image_source import open_images

side, allowed, disk = map(int, sys.argv[2:])
source = open_images(sys.argv[1])
pixels = open_pixels(source, side, memory_limit_bytes=allowed, disk_limit_bytes=disk)
pixels.gather(torch.arange(2))
has = int(re.search(r"VmData:\\s+(\\d+)", open("/proc/self/status").read())[1]) << 10
resource.setrlimit(resource.RLIMIT_DATA, (has + allowed, has + allowed))
plan = EpochPlan(len(source), 16, seed=0)
digest = hashlib.sha256()
with Ahead(pixels.gather, plan.batch, end=2 * plan.steps_per_epoch) as ahead:
    for step in range(2 * plan.steps_per_epoch):
        digest.update(ahead.batch(step).numpy().tobytes())
print(digest.hexdigest())
"""


def run_under_a_limit(script, place, *numbers) -> subprocess.CompletedProcess[str]:
    def small_stacks() -> None:
        # Stacks of threads count as data, 8 MiB each by default and hardly used.
        resource.setrlimit(resource.RLIMIT_STACK, (1 << 20, resource.RLIM_INFINITY))

    return subprocess.run(
        [sys.executable, "-c", script, place, *map(str, numbers)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        preexec_fn=small_stacks,
    )


@pytest.mark.slow
@pytest.mark.parametrize("disk", [1 << 40, 60 << 20, 0], ids=["kept", "partly kept", "streamed"])
@pytest.mark.parametrize("where", ["local", "remote"])
def test_a_set_four_times_the_memory_allowed_is_trained_on(tmp_path, bucket, where, disk):
    side, images, allowed = 256, 1200, 56 << 20
    assert images * 3 * side * side > 4 * allowed
    tar = tmp_path / "set" / "a.tar"
    tar.parent.mkdir()
    coarse = np.random.default_rng(0).integers(0, 256, (images, 4, 4, 3), dtype=np.uint8)
    with tarfile.open(tar, "w", format=tarfile.USTAR_FORMAT) as file:
        for number in range(images):
            content = simplejpeg.encode_jpeg(coarse[number].repeat(64, 0).repeat(64, 1).copy())
            member = tarfile.TarInfo(f"{number:05}.jpg")
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    place = str(tar.parent)
    if where == "remote":
        open_storage(f"{bucket}/large").write("a.tar", tar)
        place = f"{bucket}/large"
    done = run_under_a_limit(UNDER_A_LIMIT, place, side, allowed, disk)
    assert done.returncode == 0, done.stderr[-800:]
    source = open_images(tar)
    plan = EpochPlan(images, 16, seed=0)
    digest = hashlib.sha256()
    for step in range(2 * plan.steps_per_epoch):
        for row in plan.batch(step).tolist():
            digest.update(decode(source.read(row)).transpose(2, 0, 1).tobytes())
    assert done.stdout.strip() == digest.hexdigest()


@pytest.mark.slow
def test_the_limit_of_the_test_above_is_one_that_the_whole_set_breaks(tmp_path):
    script = UNDER_A_LIMIT.replace(
        "digest = hashlib", "whole = bytearray(4 * allowed); digest = hashlib"
    )
    (tmp_path / "images").mkdir()
    for number in range(32):
        content = simplejpeg.encode_jpeg(np.full((32, 32, 3), number, np.uint8))
        (tmp_path / "images" / f"{number}.jpg").write_bytes(content)
    done = run_under_a_limit(script, str(tmp_path / "images"), 32, 56 << 20, 0)
    assert "MemoryError" in done.stderr


def test_a_set_is_a_set_with_its_manifest_alone(place):
    open_storage(place).delete(SET)
    assert len(open_images(place)) == 12
    open_storage(place).delete(MANIFEST)
    assert len(open_images(place)) == 12
