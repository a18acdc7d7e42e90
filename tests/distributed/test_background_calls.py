"""Calls in a thread: when, one at a time, and none that holds who polls."""

from __future__ import annotations

from threading import Event

from mimic_ray.distributed.background_calls import BackgroundCalls


def test_a_call_is_made_at_once_and_then_each_time_the_interval_has_passed():
    clock, called = [0.0], []
    calls = BackgroundCalls(lambda: called.append(clock[0]), 2.0, lambda: clock[0])
    while clock[0] < 5:
        calls.poll()
        assert calls.join(5)
        clock[0] += 0.5
    assert called == [0.0, 2.0, 4.0]


def test_an_error_is_ignored_and_the_next_call_is_made():
    clock, called = [0.0], []

    def call():
        called.append(clock[0])
        raise ConnectionError

    calls = BackgroundCalls(call, 2.0, lambda: clock[0])
    for clock[0] in (0.0, 2.0):
        calls.poll()
        assert calls.join(5)
    assert called == [0.0, 2.0]


def test_there_is_one_call_at_a_time_and_nothing_waits_for_it():
    clock, began, answer = [0.0], [], Event()

    def call():
        began.append(1)
        answer.wait(60)

    calls = BackgroundCalls(call, 2.0, lambda: clock[0])
    for clock[0] in (0.0, 2.0, 4.0):
        calls.poll()
    calls.last(0.01)
    assert not calls.join(0.01)
    assert began == [1]
    answer.set()
    assert calls.join(5)
    calls.last(5)
    assert began == [1, 1]
