"""The nodes of a cluster and waiting for them, with a fake Ray."""

from __future__ import annotations

import importlib
import threading

import pytest

from mimic_ray.base.errors import ResourceError, StoppedError, TrainingError
from mimic_ray.base.resources import Resources
from mimic_ray.distributed import capacity

WIDE = Resources(workers=2, cpus_per_worker=3, address="auto", capacity_timeout_s=2)


class Group:
    """A placement group that is ready after `polls` polls of a second each."""

    def __init__(self, clock, polls):
        self.clock, self.polls, self.removed = clock, polls, False

    def ready(self):
        return self

    def wait(self, references, *, timeout):
        """Stands in for `ray.wait`."""
        assert references == [self]
        assert timeout < 1
        self.clock.now += 1
        self.polls -= 1
        return ([self], []) if self.polls < 0 else ([], [self])


class Clock:
    now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def requested(monkeypatch):
    """A function that makes the cluster fit a trial after some polls; returns the requests."""
    # `ray.util` has a function with the name of the module.
    module = importlib.import_module("ray.util.placement_group")

    def after(polls):
        clock, bundles = Clock(), []
        group = Group(clock, polls)
        monkeypatch.setattr(capacity, "time", clock)
        monkeypatch.setattr("ray.wait", group.wait)
        monkeypatch.setattr(capacity, "cluster_head", lambda *_: None)
        monkeypatch.setattr(
            module, "placement_group", lambda requested: bundles.append(requested) or group
        )
        monkeypatch.setattr(
            module, "remove_placement_group", lambda found: setattr(found, "removed", True)
        )
        return bundles, group

    return after


def test_only_running_nodes_count(monkeypatch):
    nodes = [
        {"Alive": True, "Resources": {"CPU": 2.0}},
        {"Alive": False, "Resources": {"CPU": 9.0}},
    ]
    monkeypatch.setattr("ray.nodes", lambda: nodes)
    assert capacity.cluster_nodes() == [{"CPU": 2.0}]


def test_waiting_requests_one_trial_reports_progress_and_removes_the_request(requested):
    bundles, group = requested(2)
    seen = []
    capacity.wait_for_capacity(WIDE, seen.append, lambda: 0)
    assert bundles == [[{"CPU": 3.0}, {"CPU": 3.0}]]
    assert [(news.phase, news.done, news.total) for news in seen] == [
        ("capacity", 1, 2),
        ("capacity", 2, 2),
    ]
    assert group.removed


def test_nodes_that_do_not_join_in_time_are_an_error(requested):
    _, group = requested(9)
    with pytest.raises(ResourceError, match=r"2 workers of 3 CPU within 3 s.*capacity_timeout_s="):
        capacity.wait_for_capacity(WIDE, lambda news: None, lambda: 0)
    assert group.removed


def test_ctrl_c_ends_the_wait(requested):
    _, group = requested(9)
    with pytest.raises(StoppedError):
        capacity.wait_for_capacity(WIDE, lambda news: None, lambda: 1)
    assert group.removed


def test_a_head_that_is_lost_ends_the_wait_although_the_request_cannot_be_removed(
    requested, monkeypatch
):
    class Lost:
        def check(self):
            raise TrainingError("The head of the cluster has not answered.")

    _, group = requested(9)
    unanswered = threading.Event()
    module = importlib.import_module("ray.util.placement_group")
    monkeypatch.setattr(module, "remove_placement_group", lambda _: unanswered.wait())
    monkeypatch.setattr(capacity, "cluster_head", lambda *_: Lost())
    monkeypatch.setattr(capacity, "_REMOVE_S", 0.01)
    with pytest.raises(TrainingError, match="has not answered"):
        capacity.wait_for_capacity(WIDE, lambda news: None, lambda: 0)
    assert group.polls == 8
    unanswered.set()


def test_without_a_timeout_nothing_is_requested(requested):
    bundles, _ = requested(0)
    capacity.wait_for_capacity(Resources(), lambda news: None, lambda: 0)
    assert bundles == []
