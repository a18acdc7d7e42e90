"""The loop that watches a `fit()`, with simple functions instead."""

from __future__ import annotations

import threading
import time

import pytest

from mimic_ray.distributed import watched_fit as module
from mimic_ray.distributed.watched_fit import FitFailedError, StopTimeoutError, watched_fit


@pytest.fixture(autouse=True)
def _short_polls(monkeypatch):
    monkeypatch.setattr(module, "_POLL_S", 0.002)


class Watcher:
    """`requests` stop requests; `fit` ends when one arrives, unless `stubborn`."""

    def __init__(self, requests=0, stubborn=False):
        self.requests, self.stubborn = requests, stubborn
        self.polls, self.passed_on = 0, 0
        self.stopped = threading.Event()

    def poll(self):
        self.polls += 1

    def stop_requests(self):
        return self.requests

    def request_stop(self):
        self.passed_on += 1
        if not self.stubborn:
            self.stopped.set()

    def fit(self):
        self.stopped.wait(5)
        return "committed"


def test_the_result_of_fit_is_returned():
    watcher = Watcher()
    assert watched_fit(lambda: 7, watcher) == 7


def test_messages_that_arrive_at_the_end_are_read():
    class Last(Watcher):
        read = False

        def poll(self):
            self.read = ended.is_set()

    ended, watcher = threading.Event(), Last()
    watched_fit(lambda: (time.sleep(0.02), ended.set()), watcher)
    assert watcher.read


def test_fit_runs_in_another_thread():
    """Ray only replaces signal handlers in the main thread."""
    assert watched_fit(threading.current_thread, Watcher()) is not threading.current_thread()


@pytest.mark.parametrize("error", [ValueError("7"), SystemExit(1)])
def test_an_error_of_fit_is_raised_with_its_cause(error):
    def fit():
        raise error

    with pytest.raises(FitFailedError) as raised:
        watched_fit(fit, Watcher())
    assert raised.value.error is error


def test_one_stop_request_is_passed_on_once_and_waited_for():
    watcher = Watcher(requests=1)
    assert watched_fit(watcher.fit, watcher) == "committed"
    assert watcher.passed_on == 1


def test_a_second_request_does_not_wait():
    watcher = Watcher(requests=2, stubborn=True)
    with pytest.raises(StopTimeoutError):
        watched_fit(watcher.fit, watcher)
    assert watcher.passed_on == 1
    watcher.stopped.set()


def test_workers_that_do_not_stop_in_time_are_abandoned():
    watcher = Watcher(requests=1, stubborn=True)
    with pytest.raises(StopTimeoutError):
        watched_fit(watcher.fit, watcher, grace_s=0.02)
    watcher.stopped.set()


def test_an_error_of_the_watcher_ends_the_watch_at_once():
    class Lost(Watcher):
        def poll(self):
            raise TimeoutError("the head is lost")

    watcher = Lost()
    with pytest.raises(TimeoutError):
        watched_fit(watcher.fit, watcher)
    assert watcher.passed_on == 0
    watcher.stopped.set()


def test_a_trial_that_tune_ends_lets_its_workers_commit_first():
    class Ended(Watcher):
        def poll(self):
            raise SystemExit

    watcher = Ended()
    with pytest.raises(SystemExit):
        watched_fit(watcher.fit, watcher)
    assert watcher.stopped.is_set()


def test_a_request_that_arrives_at_the_end_is_not_passed_on():
    watcher = Watcher(requests=1)
    ended = threading.Event()

    def fit():
        ended.set()
        return 1

    watcher.stop_requests = lambda: 0 if not ended.wait(1) else (time.sleep(0.05), 1)[1]
    assert watched_fit(fit, watcher) == 1
    assert watcher.passed_on == 0
