"""The images of a step depend only on the seed, not on workers, threads, prefetching or resumes."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest
import torch

from mimic_ray.data import decoded_set
from mimic_ray.data.epoch import EpochPlan
from mimic_ray.data.image_source import open_images
from mimic_ray.data.prefetch import prefetch

STEPS, BATCH, SIDE = 12, 8, 32


@pytest.fixture
def opened(case, tmp_path, monkeypatch):
    """make(threads) -> the images, decoded into a new cache by that number of threads."""
    monkeypatch.setattr(decoded_set, "_THREADS_FROM_SIDE", 1)

    def make(threads: int):
        monkeypatch.setenv("MIMIC_RAY_CACHE", str(tmp_path / f"cache-{threads}"))
        monkeypatch.setattr(decoded_set, "usable_cpus", lambda: threads)
        return decoded_set.open_pixels(open_images(case / "images"), SIDE, memory_limit_bytes=0)

    return make


def sequence(images, workers: dict[int, int], ahead: int) -> list[str]:
    """The hash of each step's pixels. `workers` maps a first step to the number of workers."""
    plan = EpochPlan(len(images), BATCH, seed=7)
    hashes = []
    for (first, world_size), (end, _) in pairwise([*workers.items(), (STEPS, 0)]):
        shares = []
        for rank in range(world_size):

            def gather(step: int, rank=rank, world_size=world_size):
                return images.gather(plan.share(step, rank, world_size))

            shares.append(list(prefetch(gather, range(first, end), ahead=ahead)))
        for parts in zip(*shares, strict=True):
            hashes.append(hashlib.sha256(torch.cat(parts).numpy().tobytes()).hexdigest())
    return hashes


@pytest.mark.parametrize("ahead", [0, 1, 4])
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_global_batches_depend_on_neither_workers_nor_threads_nor_resumes(opened, threads, ahead):
    expected = sequence(opened(1), {0: 1}, ahead=0)
    assert len({*expected}) == STEPS
    images = opened(threads)
    for workers in ({0: 1}, {0: 2}, {0: 3}, {0: 1, 5: 3}, {0: 3, 4: 2, 9: 1}):
        assert sequence(images, workers, ahead) == expected
