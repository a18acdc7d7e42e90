"""Which images make a step hangs on nothing but the seed: not on workers, threads or resumes."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest
import torch

from mimic_ray.data import cache
from mimic_ray.data.epoch import EpochPlan
from mimic_ray.data.image_source import open_images
from mimic_ray.data.prefetch import Ahead

STEPS, BATCH, SIDE = 12, 8, 32


@pytest.fixture
def opened(case, tmp_path, monkeypatch):
    """make(threads) -> the images, decoded anew by so many threads."""
    monkeypatch.setattr(cache, "_THREADS_FROM_SIDE", 1)

    def make(threads: int):
        monkeypatch.setenv("MIMIC_RAY_CACHE", str(tmp_path / f"cache-{threads}"))
        monkeypatch.setattr(cache, "usable_cpus", lambda: threads)
        return cache.open_pixels(open_images(case / "images"), SIDE, memory_limit_bytes=0)

    return make


def sequence(images, worlds: dict[int, int], depth: int) -> list[str]:
    """The hash of each step's pixels; `worlds` says how many workers go on from which step."""
    plan = EpochPlan(len(images), BATCH, seed=7)
    found = []
    for (first, world_size), (end, _) in pairwise([*worlds.items(), (STEPS, 0)]):
        of_workers = []
        for rank in range(world_size):

            def share(step: int, rank=rank, world_size=world_size):
                return plan.share(step, rank, world_size)

            if depth:
                with Ahead(images.gather, share, depth=depth, end=STEPS) as ahead:
                    of_workers.append([ahead.batch(step) for step in range(first, end)])
            else:
                of_workers.append([images.gather(share(step)) for step in range(first, end)])
        for parts in zip(*of_workers, strict=True):
            found.append(hashlib.sha256(torch.cat(parts).numpy().tobytes()).hexdigest())
    return found


@pytest.mark.parametrize("ahead", [0, 1, 4])
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_workers_threads_and_resumes_leave_the_global_batches_as_they_are(opened, threads, ahead):
    expected = sequence(opened(1), {0: 1}, depth=0)
    assert len({*expected}) == STEPS
    images = opened(threads)
    for worlds in ({0: 1}, {0: 2}, {0: 3}, {0: 1, 5: 3}, {0: 3, 4: 2, 9: 1}):
        assert sequence(images, worlds, ahead) == expected
