from __future__ import annotations

import gc
import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mimic_ray.base.errors import UsageError
from mimic_ray.base.locks import release, shared_lock
from mimic_ray.data import cache_eviction
from mimic_ray.data.cache_eviction import evict, items_of, limit_bytes
from mimic_ray.data.decoded_set import open_pixels
from mimic_ray.data.image_source import open_images

MIB = 1 << 20


@pytest.fixture
def limit(monkeypatch):
    def set_to(size: int) -> None:
        monkeypatch.setenv("MIMIC_RAY_CACHE_GIB", str(size / (1 << 30)))

    return set_to


def folder(cache: Path, name: str, size: int, used_s: float) -> Path:
    path = cache / "pixels" / name
    path.mkdir(parents=True)
    for part in ("pixels.npy", "about.json"):
        (path / part).write_bytes(bytes(size // 2))
        os.utime(path / part, (used_s, used_s))
    return path


def names(cache: Path) -> set[str]:
    return {path.name for path in (cache / "pixels").iterdir()}


def test_the_least_recently_used_items_are_evicted_and_no_more_than_needed(cache, limit):
    for name, used_s in (("old", 1000), ("older", 500), ("new", 2000)):
        folder(cache, name, MIB, used_s)
    limit(4 * MIB)
    evict(cache, MIB)
    assert names(cache) == {"old", "older", "new"}
    evict(cache, 2 * MIB)
    assert names(cache) == {"old", "new"}
    evict(cache, 3 * MIB)
    assert names(cache) == {"new"}


def test_items_are_evicted_when_the_disk_is_full(cache, monkeypatch):
    for name, used_s in (("old", 1000), ("new", 2000)):
        folder(cache, name, MIB, used_s)
    monkeypatch.setattr(cache_eviction, "_free", lambda _: 0 if len(names(cache)) == 2 else 9 * MIB)
    evict(cache, MIB)
    assert names(cache) == {"new"}


def test_items_in_use_by_any_process_are_kept(cache, limit):
    for name in ("by this", "by another", "by none"):
        folder(cache, name, MIB, 1000)
    mine = shared_lock(cache / "locks" / "by this.use")
    script = (
        "import sys; from pathlib import Path; from mimic_ray.base.locks import shared_lock;"
        "shared_lock(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(cache / "locks" / "by another.use")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout.readline() == "held\n"
        limit(0)
        evict(cache, MIB)
        assert names(cache) == {"by this", "by another"}
        other.kill()  # the kernel releases the lock of a process
        other.wait()
        evict(cache, MIB)
        assert names(cache) == {"by this"}
    release(mine)
    evict(cache, MIB)
    assert names(cache) == set()


def test_decoded_images_are_kept_while_in_use(image_folder, cache, limit):
    pixels = open_pixels(open_images(image_folder), 8, memory_limit_bytes=0)
    pixels.gather(torch.arange(12))
    limit(0)
    evict(cache, MIB)
    assert len(names(cache)) == 1
    del pixels
    gc.collect()
    evict(cache, MIB)
    assert names(cache) == set()


def test_a_new_set_replaces_an_old_one(image_folder, cache, limit):
    limit(2 * MIB)  # each folder reserves a MiB in addition to its images
    old = open_pixels(open_images(image_folder), 8, memory_limit_bytes=0, disk_limit_bytes=MIB)
    (first,) = names(cache)
    del old
    gc.collect()
    (cache / "pixels" / first / "grown").write_bytes(bytes(MIB))
    open_pixels(open_images(image_folder), 9, memory_limit_bytes=0, disk_limit_bytes=MIB)
    assert len(names(cache)) == 1
    assert first not in names(cache)


def test_unpacked_tars_are_kept_while_a_set_uses_them(tmp_path, cache, limit, encoded, write_tar):
    tar = write_tar(tmp_path / "a.tar", {"a.png": encoded(1)})
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(tar.read_bytes()))
    source = open_images(tmp_path / "a.tar.gz")
    limit(0)
    evict(cache, MIB)
    assert len(list((cache / "tars").iterdir())) == 1
    del source
    gc.collect()
    evict(cache, MIB)
    assert not list((cache / "tars").iterdir())


def test_unfinished_files_are_removed_after_a_day(cache):
    for name, age in ((".x.tmp-1", 90_000), (".y.tmp-2", 60)):
        path = folder(cache, name, MIB, 0)
        now = cache_eviction.time.time()
        os.utime(path, (now - age, now - age))
    evict(cache, 0)
    assert names(cache) == {".y.tmp-2"}
    assert list(items_of(cache)) == []


def test_the_limit_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("MIMIC_RAY_CACHE_GIB", "1.5")
    assert limit_bytes() == 3 << 29
    monkeypatch.delenv("MIMIC_RAY_CACHE_GIB")
    assert limit_bytes() == 256 << 30
    for text in ("much", "-1", "inf", "nan"):
        monkeypatch.setenv("MIMIC_RAY_CACHE_GIB", text)
        with pytest.raises(UsageError, match=f'MIMIC_RAY_CACHE_GIB is "{text}"'):
            limit_bytes()


def test_a_missing_cache_folder_is_not_created(tmp_path):
    evict(tmp_path / "none" / "here", MIB)
    assert not (tmp_path / "none").exists()
