"""Commits in a thread: what was copied is written, one at a time, and errors are not lost."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from mimic_ray.execution import background_commit
from mimic_ray.execution.background_commit import BackgroundCommit, host_copy


def test_what_training_changes_after_the_copy_is_not_written():
    go, written = threading.Event(), {}

    def write(step, state):
        go.wait(10)
        written[step] = state["w"].clone()

    commits, weights = BackgroundCommit(write), torch.zeros(3)
    commits.start(1, {"w": weights})
    weights += 1
    assert commits.check() is None
    go.set()
    commits.wait()
    assert torch.equal(written[1], torch.zeros(3))
    assert commits.check() == 1
    assert commits.check() is None


def test_the_next_commit_waits_for_the_last():
    order, go = [], threading.Event()

    def write(step, state):
        if step == 1:
            go.wait(10)
        order.append((step, state["w"].item()))

    commits = BackgroundCommit(write)
    commits.start(1, {"w": torch.tensor(1.0)})
    threading.Timer(0.1, go.set).start()
    commits.start(2, {"w": torch.tensor(2.0)})
    commits.wait()
    assert order == [(1, 1.0), (2, 2.0)]


@pytest.mark.parametrize("call", ["start", "check", "wait"])
def test_an_error_of_the_thread_is_raised_once(call):
    def write(*_):
        raise OSError("disk")

    commits = BackgroundCommit(write)
    commits.start(1, {})
    commits.settle()
    calls = {
        "start": lambda: commits.start(2, {}),
        "check": commits.check,
        "wait": commits.wait,
    }
    with pytest.raises(OSError, match="disk"):
        calls[call]()
    assert commits.check() is None


def test_commits_are_due_by_their_cost(monkeypatch):
    monkeypatch.setattr(background_commit, "_SHORTEST_S", 0.05)
    commits = BackgroundCommit(lambda step, state: time.sleep(0.1))
    assert not commits.due()
    time.sleep(0.06)
    assert commits.due()
    commits.start(1, {"w": torch.zeros(1)})
    assert not commits.due()  # one is being written
    commits.wait()
    commits._cost_s = 1000.0
    time.sleep(0.06)
    assert not commits.due()


def test_what_the_step_waited_for_the_state_counts(monkeypatch):
    monkeypatch.setattr(background_commit, "_SHORTEST_S", 0.0)
    commits = BackgroundCommit(lambda step, state: None)
    commits.start(1, {"w": torch.zeros(1)}, collected_s=1000.0)
    commits.wait()
    assert commits._cost_s >= 1000.0
    assert not commits.due()


def test_a_copy_uses_the_memory_of_the_last_one_and_keeps_layouts():
    wide = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    state = {"a": wide, "rest": [torch.ones(2), 3, "x", None], "n": {0: (torch.tensor(1),)}}
    first = host_copy(state)
    assert first["a"].stride() == wide.stride()
    assert torch.equal(first["a"], wide)
    assert first["a"].data_ptr() != wide.data_ptr()
    wide += 1
    second = host_copy(state, first)
    assert second["a"].data_ptr() == first["a"].data_ptr()
    assert torch.equal(second["a"], wide)
    assert second["rest"][1:] == [3, "x", None]
    grown = host_copy({**state, "a": torch.zeros(5)}, second)
    assert torch.equal(grown["a"], torch.zeros(5))
    assert torch.equal(grown["n"][0][0], torch.tensor(1))
