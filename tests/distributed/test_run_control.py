"""Messages and stop requests between driver and workers."""

from __future__ import annotations

import pickle

import pytest

from mimic_ray.base.errors import DataError, TrainingError
from mimic_ray.distributed.run_control import ControlActor, RunControl, WorkerControl
from tests.distributed.local_ray import use_local_ray


@pytest.fixture
def control(monkeypatch):
    use_local_ray(monkeypatch)
    return RunControl()


def test_messages_arrive_once_and_in_order(control):
    worker = control.for_worker()
    for message in "abc":
        worker.post(message)
    assert control.messages() == ["a", "b", "c"]
    assert control.messages() == []


def test_a_driver_that_does_not_read_keeps_the_newest_messages(control):
    worker = control.for_worker()
    for number in range(100):
        worker.post(number)
    assert control.messages() == list(range(36, 100))


def test_a_stop_request_reaches_a_worker_with_its_next_message(control):
    worker = control.for_worker()
    worker.begin()
    worker.post("step")
    assert not worker.should_stop()
    assert control.request_stop()
    worker.post("step")
    assert worker.should_stop()
    assert worker.should_stop()


def test_a_stop_request_before_a_worker_has_begun_has_no_receiver(control):
    assert not control.request_stop()


def test_a_worker_does_not_wait_for_a_reply(monkeypatch, control):
    worker = control.for_worker()
    control.request_stop()
    monkeypatch.setattr("ray.wait", lambda references, **_: ([], references))
    worker.post("step")
    worker.post("step")
    assert not worker.should_stop()
    assert control.messages() == ["step", "step"]


def test_only_the_newest_group_may_commit(control):
    stale, current = control.for_worker(), control.for_worker()
    stale.begin()
    stale.check_current()
    current.begin()
    current.check_current()
    with pytest.raises(TrainingError, match="taken over"):
        stale.check_current()


def test_an_error_that_would_repeat_is_raised_in_the_driver(control):
    control.raise_failure()
    control.for_worker().give_up(DataError("no images"))
    with pytest.raises(DataError, match="no images"):
        control.raise_failure()


def test_the_control_of_a_worker_can_be_pickled():
    sent = pickle.loads(pickle.dumps(WorkerControl(ControlActor())))
    assert not sent.should_stop()
