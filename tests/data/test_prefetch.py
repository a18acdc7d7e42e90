from __future__ import annotations

import threading
import time

import pytest
import torch
from torch import Tensor

from mimic_ray.data.epoch import EpochPlan
from mimic_ray.data.prefetch import Ahead


def indices_of(step: int) -> Tensor:
    return torch.tensor([step, step + 100])


class Gather:
    """Gathers indices as they are, and remembers for which steps it was asked."""

    def __init__(self, seconds: float = 0.0, fails_at: int | None = None) -> None:
        self.steps: list[int] = []
        self._seconds, self._fails_at = seconds, fails_at

    def __call__(self, indices: Tensor) -> Tensor:
        self.steps.append(int(indices[0]))
        time.sleep(self._seconds)
        if self.steps[-1] == self._fails_at:
            raise RuntimeError(f"no batch {self._fails_at}")
        return indices * 2


def until(condition) -> None:
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.001)
    assert condition()


def test_batches_are_those_gathered_step_by_step():
    plan = EpochPlan(images=40, global_batch=8, seed=3)
    images = torch.arange(40) * 3
    with Ahead(lambda rows: images[rows], plan.batch, depth=3) as ahead:
        for step in range(20):
            assert torch.equal(ahead.batch(step), images[plan.batch(step)])


def test_the_next_batches_are_made_before_they_are_asked_for_and_no_more_than_the_depth():
    gather = Gather()
    with Ahead(gather, indices_of, depth=2) as ahead:
        ahead.batch(0)
        until(lambda: gather.steps == [0, 1, 2])
        time.sleep(0.05)
        assert gather.steps == [0, 1, 2]
        ahead.batch(1)
        until(lambda: gather.steps == [0, 1, 2, 3])


def test_gathering_and_training_take_their_turns_at_the_same_time():
    with Ahead(Gather(seconds=0.02), indices_of) as ahead:
        ahead.batch(0)
        start = time.monotonic()
        for step in range(1, 11):
            time.sleep(0.02)  # the training
            ahead.batch(step)
        assert time.monotonic() - start < 0.35  # one after the other would take 0.4


def test_nothing_is_made_before_it_is_asked_for_or_beyond_the_end():
    gather = Gather()
    with Ahead(gather, indices_of, depth=4, end=3) as ahead:
        time.sleep(0.02)
        assert gather.steps == []
        ahead.batch(1)
        ahead.batch(2)
        time.sleep(0.05)
        assert gather.steps == [1, 2]
        assert ahead.batch(7).tolist() == [14, 214]  # asked for all the same


def test_a_step_out_of_order_is_made_and_the_reading_goes_on_from_there():
    gather = Gather()
    with Ahead(gather, indices_of) as ahead:
        for step in (5, 6, 2, 3, 9, 10, 10):
            assert ahead.batch(step).tolist() == [2 * step, 2 * (step + 100)]


def test_an_error_is_raised_at_its_own_step_and_again_if_asked_again():
    with Ahead(Gather(fails_at=2), indices_of, depth=3) as ahead:
        assert ahead.batch(0)[0] == 0
        time.sleep(0.05)
        assert ahead.batch(1)[0] == 2
        for _ in range(2):
            with pytest.raises(RuntimeError, match="no batch 2"):
                ahead.batch(2)
        assert ahead.batch(3)[0] == 6


def test_an_error_in_the_plan_is_raised_too():
    def fails(step: int) -> Tensor:
        raise IndexError(f"no step {step}")

    with Ahead(Gather(), fails) as ahead, pytest.raises(IndexError, match="no step 4"):
        ahead.batch(4)


@pytest.mark.parametrize("moment", ["unused", "waiting", "gathering", "failed"])
def test_closing_leaves_no_thread(moment):
    before = threading.active_count()
    ahead = Ahead(Gather(0.05 if moment == "gathering" else 0, fails_at=1), indices_of)
    if moment != "unused":
        ahead.batch(0)
    if moment == "waiting":
        time.sleep(0.02)
    if moment == "failed":
        with pytest.raises(RuntimeError):
            ahead.batch(1)
    ahead.close()
    ahead.close()
    assert threading.active_count() == before
    with pytest.raises(ValueError, match="closed"):
        ahead.batch(1)


def test_an_error_in_the_block_leaves_no_thread():
    before = threading.active_count()
    with pytest.raises(TypeError), Ahead(Gather(), indices_of) as ahead:
        len(ahead.batch(0).item)  # a mistake of whoever trains
    assert threading.active_count() == before


def test_only_a_workers_own_share_is_read():
    plan = EpochPlan(images=40, global_batch=8, seed=3)
    read: list[int] = []

    def gather(rows: Tensor) -> Tensor:
        read.extend(rows.tolist())
        return rows

    with Ahead(gather, lambda step: plan.share(step, 1, 4), end=5) as ahead:
        for step in range(5):
            ahead.batch(step)
    assert read == [row for step in range(5) for row in plan.batch(step)[2:4].tolist()]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_batches_are_pinned_where_asked():
    with Ahead(Gather(), indices_of, pin=True) as ahead:
        assert ahead.batch(0).is_pinned()
