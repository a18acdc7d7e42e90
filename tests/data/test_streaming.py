"""Streaming end to end: a set on object storage, larger than memory and shared by workers."""

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
from mimic_ray.data import decoded_set
from mimic_ray.data.decode import decode
from mimic_ray.data.decoded_set import open_pixels
from mimic_ray.data.epoch import EpochPlan
from mimic_ray.data.image_source import open_images
from mimic_ray.data.manifest import MANIFEST, SET


@pytest.fixture
def fetched(monkeypatch) -> list[tuple[str, int, int]]:
    ranges = []
    read_range = Storage.read_range

    def recorded(self, name, offset, size):
        ranges.append((name, offset, size))
        return read_range(self, name, offset, size)

    monkeypatch.setattr(Storage, "read_range", recorded)
    return ranges


def epoch(pixels, rank=0, world_size=1, number=0) -> list[np.ndarray]:
    plan = EpochPlan(len(pixels), 4, seed=1)
    steps = range(number * plan.steps_per_epoch, (number + 1) * plan.steps_per_epoch)
    return [pixels.gather(plan.share(step, rank, world_size)).numpy() for step in steps]


def test_only_the_first_epoch_fetches_and_each_image_once(address, fetched, image_folder):
    source = open_images(address)
    pixels = open_pixels(source, 8)
    first = epoch(pixels)
    assert sum(size for _, _, size in fetched) >= sum(entry.size for entry in source.entries)
    fetched.clear()
    epoch(pixels, number=1)
    assert fetched == []
    local = epoch(open_pixels(open_images(image_folder), 8))
    assert all(map(np.array_equal, first, local))


def test_a_later_run_on_the_same_images_fetches_nothing(address, tmp_path, fetched, monkeypatch):
    epoch(open_pixels(open_images(address), 8))
    fetched.clear()
    epoch(open_pixels(open_images(address), 8))
    assert fetched == []
    monkeypatch.setattr(decoded_set, "decode", lambda _: pytest.fail("decoded again"))
    epoch(open_pixels(open_images(tmp_path / "local"), 8, memory_limit_bytes=0))


def test_without_room_for_copies_a_worker_fetches_only_its_own_share(address, fetched, monkeypatch):
    monkeypatch.setenv("MIMIC_RAY_CACHE_GIB", "0")
    monkeypatch.setattr("mimic_ray.data.remote_shards._GAP_BYTES", 0)
    source = open_images(address)
    pixels = open_pixels(source, 8)
    epoch(pixels, rank=1, world_size=2)
    plan = EpochPlan(12, 4, seed=1)
    mine = torch.cat([plan.share(step, 1, 2) for step in range(3)]).tolist()
    expected = [(source.entries[i].shard, source.entries[i].offset) for i in mine]
    assert sorted(request[:2] for request in fetched) == sorted(expected)


def test_workers_on_one_machine_fetch_the_set_once_together(address, fetched):
    workers = [open_pixels(open_images(address), 8) for _ in range(2)]
    shares = [epoch(pixels, rank, 2) for rank, pixels in enumerate(workers)]
    fetched.clear()
    for number in (1, 2):
        shares = [epoch(pixels, rank, 2, number) for rank, pixels in enumerate(workers)]
    assert fetched == []
    alone = epoch(open_pixels(open_images(address), 8), number=2)
    joined = [np.concatenate(parts) for parts in zip(*shares, strict=True)]
    assert all(map(np.array_equal, joined, alone))


def test_a_storage_failure_stops_the_batch_and_keeps_what_was_fetched(address, monkeypatch):
    monkeypatch.setattr("mimic_ray.data.remote_shards.fits", lambda shards: False)
    pixels = open_pixels(open_images(address), 8)
    pixels.gather(torch.arange(4))
    for found in open_storage(address).list():
        if found.name.endswith(".tar"):
            open_storage(address).delete(found.name)
    assert pixels.gather(torch.arange(4)).shape[0] == 4
    with pytest.raises(StorageError, match="does not exist"):
        pixels.gather(torch.tensor([5]))
    assert pixels.broken == []


def test_broken_images_have_the_same_replacement_in_a_remote_and_a_local_set(
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


# Reads two epochs of a set under a limit on further memory allocations. Arguments: the set, the
# side, the bytes allowed, the disk limit.
UNDER_A_LIMIT = """
import hashlib, re, resource, sys, torch
from mimic_ray.data.decoded_set import open_pixels
from mimic_ray.data.epoch import EpochPlan
from mimic_ray.data.image_source import open_images
from mimic_ray.data.prefetch import prefetch

side, allowed, disk = map(int, sys.argv[2:])
source = open_images(sys.argv[1])
pixels = open_pixels(source, side, memory_limit_bytes=allowed, disk_limit_bytes=disk)
pixels.gather(torch.arange(2))
has = int(re.search(r"VmData:\\s+(\\d+)", open("/proc/self/status").read())[1]) << 10
resource.setrlimit(resource.RLIMIT_DATA, (has + allowed, has + allowed))
plan = EpochPlan(len(source), 16, seed=0)
digest = hashlib.sha256()
steps = range(2 * plan.steps_per_epoch)
for batch in prefetch(lambda step: pixels.gather(plan.batch(step)), steps, ahead=2):
    digest.update(batch.numpy().tobytes())
print(digest.hexdigest())
"""


def run_under_a_limit(script, location, *numbers) -> subprocess.CompletedProcess[str]:
    def small_stacks() -> None:
        # Thread stacks count as data, by default 8 MiB each, of which little is used.
        resource.setrlimit(resource.RLIMIT_STACK, (1 << 20, resource.RLIM_INFINITY))

    return subprocess.run(
        [sys.executable, "-c", script, location, *map(str, numbers)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        preexec_fn=small_stacks,
    )


@pytest.mark.slow
@pytest.mark.parametrize("disk", [1 << 40, 60 << 20, 0], ids=["cached", "partly", "streamed"])
@pytest.mark.parametrize("where", ["local", "remote"])
def test_a_set_four_times_larger_than_memory_can_be_read(tmp_path, bucket, where, disk):
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
    location = str(tar.parent)
    if where == "remote":
        open_storage(f"{bucket}/large").write("a.tar", tar)
        location = f"{bucket}/large"
    done = run_under_a_limit(UNDER_A_LIMIT, location, side, allowed, disk)
    assert done.returncode == 0, done.stderr[-800:]
    source = open_images(tar)
    plan = EpochPlan(images, 16, seed=0)
    digest = hashlib.sha256()
    for step in range(2 * plan.steps_per_epoch):
        for row in plan.batch(step).tolist():
            digest.update(decode(source.read(row)).transpose(2, 0, 1).tobytes())
    assert done.stdout.strip() == digest.hexdigest()


@pytest.mark.slow
def test_the_memory_limit_is_too_small_for_the_whole_set(tmp_path):
    script = UNDER_A_LIMIT.replace(
        "digest = hashlib", "whole = bytearray(4 * allowed); digest = hashlib"
    )
    (tmp_path / "images").mkdir()
    for number in range(32):
        content = simplejpeg.encode_jpeg(np.full((32, 32, 3), number, np.uint8))
        (tmp_path / "images" / f"{number}.jpg").write_bytes(content)
    done = run_under_a_limit(script, str(tmp_path / "images"), 32, 56 << 20, 0)
    assert "MemoryError" in done.stderr


def test_a_set_needs_neither_set_json_nor_a_manifest(address):
    open_storage(address).delete(SET)
    assert len(open_images(address)) == 12
    open_storage(address).delete(MANIFEST)
    assert len(open_images(address)) == 12
