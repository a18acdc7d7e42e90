"""One worker alone, and the wait for rank 0. Two workers exchange everything in
test_two_workers.py."""

import time
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from mimic_ray.method import collectives
from mimic_ray.method.collectives import ProcessGroup

# Of a collective, and longer, in the test with real processes.
TIMEOUT_S, WORK_S = 4.0, 9.0


def test_a_worker_alone_exchanges_nothing_and_needs_no_process_group():
    group = ProcessGroup()
    rows = torch.randn(5, 3, requires_grad=True)
    assert group.gather(rows, 5) is rows
    assert group.mean(rows) is rows
    assert group.broadcast({"step": 3}) == {"step": 3}
    assert group.from_first(lambda at_work: (at_work(), 3)[1]) == 3
    assert group.any(True)
    assert not group.any(False)
    group.barrier()
    assert not torch.distributed.is_initialized()


@pytest.fixture
def sent(monkeypatch):
    """What rank 0 broadcasts, and when, by a clock that the test moves; the others read it."""
    found = []
    clock = [0.0]

    def broadcast(self, value):
        if self.rank == 0:
            found.append((clock[0], value))
            return value
        return found.pop(0)[1]

    monkeypatch.setattr(ProcessGroup, "broadcast", broadcast)
    monkeypatch.setattr(collectives.time, "monotonic", lambda: clock[0])
    return found, clock


def test_others_hear_from_rank_0_while_it_works_and_then_get_what_it_made(sent):
    found, clock = sent

    def make(at_work):
        for _ in range(1000):
            clock[0] += 7
            at_work()
        return "openings"

    assert ProcessGroup(0, 2).from_first(make) == "openings"
    times = [0.0, *(when for when, _ in found)]
    longest = max(after - before for before, after in pairwise(times))
    assert longest <= collectives._AT_WORK_EVERY_S + 7
    assert len(found) < 300, "not after each batch"
    assert ProcessGroup(1, 2).from_first(lambda _: pytest.fail("made again")) == "openings"
    assert found == []


def test_nothing_to_make_is_a_value_too(sent):
    assert ProcessGroup(0, 2).from_first(lambda at_work: None) is None
    assert ProcessGroup(1, 2).from_first(lambda at_work: None) is None
    assert sent[0] == []


@pytest.mark.slow
def test_two_processes_wait_longer_for_rank_0_than_a_collective_may_take(tmp_path):
    torch.multiprocessing.spawn(wait_for_rank_0, args=(str(tmp_path),), nprocs=2)
    assert {path.read_text() for path in tmp_path.glob("made-*")} == {"openings"}
    assert len([*tmp_path.glob("made-*")]) == 2


def wait_for_rank_0(rank: int, folder: str) -> None:
    """One of two workers."""
    # The short timeout begins when both are there.
    for name, timeout_s in (("start", 300.0), ("group", TIMEOUT_S)):
        dist.init_process_group(
            "gloo",
            f"file://{folder}/{name}",
            rank=rank,
            world_size=2,
            timeout=timedelta(seconds=timeout_s),
        )
        dist.barrier()
        if name == "start":
            dist.destroy_process_group()
    collectives._AT_WORK_EVERY_S = TIMEOUT_S / 8

    def make(at_work):
        ends = time.monotonic() + WORK_S
        while time.monotonic() < ends:
            time.sleep(0.05)
            at_work()
        return "openings"

    made = ProcessGroup(rank, 2, rank).from_first(make)
    (Path(folder) / f"made-{rank}").write_text(made)
    dist.destroy_process_group()
