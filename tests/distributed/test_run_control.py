"""Messages and stop requests between driver and workers."""

from __future__ import annotations

import os
import pickle
import signal
import time
from types import SimpleNamespace

import pytest

from mimic_ray.base.errors import DataError, TrainingError
from mimic_ray.distributed import run_control
from mimic_ray.distributed.ray_session import ray_session
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


def test_workers_learn_of_nodes_that_are_to_be_taken_away(control):
    worker = control.for_worker()
    worker.post("step")
    assert worker.draining() == 0
    control.nodes_draining(2)
    control.messages()
    worker.post("step")
    assert (worker.draining(), worker.should_stop()) == (2, False)
    control._actor.state = ControlActor()  # killed: the new one does not know it yet
    worker.post("step")
    assert worker.draining() == 2


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
    assert control.messages() == []
    with pytest.raises(DataError, match="no images"):
        control.raise_failure()


@pytest.fixture
def away(monkeypatch, control):
    """Makes calls of the actor fail, as after a kill: `away.calls` of them, then a new actor
    answers. `away.now` is the driver's clock."""
    from ray.exceptions import ActorUnavailableError

    world = SimpleNamespace(calls=0, now=0.0)
    control._now, control._answered = (lambda: world.now), 0.0

    def get(reference, **_):
        if world.calls > 0:
            world.calls -= 1
            control._actor.state = ControlActor()
            raise ActorUnavailableError("killed", bytes(16))
        return reference

    monkeypatch.setattr("ray.get", get)
    monkeypatch.setattr(run_control, "_RETRY_S", 0.0)
    return world


def test_a_killed_actor_loses_messages_but_neither_a_stop_nor_who_is_current(control, away):
    stale, current = control.for_worker(), control.for_worker()
    stale.begin()
    current.begin()
    control.request_stop()
    away.calls = 1
    assert control.messages() == []
    current.post("step")  # not yet known to be asked to stop
    assert control.messages() == ["step"]
    current.check_current()
    with pytest.raises(TrainingError, match="taken over"):
        stale.check_current()
    current.post("step")
    assert current.should_stop()


def test_a_worker_waits_for_a_new_actor(control, away):
    worker = control.for_worker()
    away.calls = 3
    worker.begin()
    away.calls = 2
    worker.check_current()
    worker.post("step")
    away.calls = 1
    assert not worker.should_stop()  # the reply is lost, the worker goes on
    worker.give_up(DataError("no images"))
    control.messages()
    with pytest.raises(DataError):
        control.raise_failure()


def test_an_actor_that_does_not_come_back_ends_the_run_with_the_way_to_continue(control, away):
    away.calls = 10
    assert control.messages() == []
    away.now = run_control._AWAY_S + 1
    with pytest.raises(TrainingError, match=r"messages .* was killed.*resume=True"):
        control.messages()


def test_the_control_of_a_worker_can_be_pickled():
    sent = pickle.loads(pickle.dumps(WorkerControl(ControlActor())))
    assert not sent.should_stop()


@pytest.mark.filterwarnings("default")  # those of Ray itself
@pytest.mark.ray
@pytest.mark.slow
def test_a_mailbox_that_was_killed_is_started_again_by_a_real_ray(tmp_path):
    """SIGKILL: orders and the newest group reach the new process, and messages pass again."""
    with ray_session(None, tmp_path / "ray.log", 1):
        import psutil

        def mailboxes():
            children = psutil.Process(os.getpid()).children(recursive=True)
            return {c.pid for c in children if c.name().startswith("ray::Control")}

        control = RunControl()
        stale, current = control.for_worker(), control.for_worker()
        stale.begin()
        current.begin()
        control.messages()
        assert control.request_stop()
        control.nodes_draining(2)
        (killed,) = mailboxes()
        os.kill(killed, signal.SIGKILL)

        deadline, passed = time.monotonic() + 120, []
        while "step" not in passed or not current.should_stop():
            assert time.monotonic() < deadline
            current.post("step")
            passed += control.messages()
            time.sleep(0.1)
        assert mailboxes()
        assert killed not in mailboxes()
        current.check_current()
        with pytest.raises(TrainingError, match="taken over"):
            stale.check_current()
        assert current.draining() == 2
        current.give_up(DataError("no images"))
        control.messages()
        with pytest.raises(DataError, match="no images"):
            control.raise_failure()
