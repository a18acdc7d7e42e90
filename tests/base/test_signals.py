"""Signals are counted inside the block, and their handlers are restored after it."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from mimic_ray.base.signals import stop_requests

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_counted_and_recorded_without_an_exception(number):
    with stop_requests() as requests:
        assert requests.count == 0
        os.kill(os.getpid(), number)
        assert (requests.count, requests.signal_number) == (1, number)
        os.kill(os.getpid(), number)
        assert requests.count == 2


def test_the_third_request_stops_at_once():
    with pytest.raises(KeyboardInterrupt), stop_requests():  # noqa: PT012
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)


def test_the_previous_handlers_are_restored_after_the_block_and_after_an_error():
    before = [signal.getsignal(number) for number in SIGNALS]
    with stop_requests():
        assert all(signal.getsignal(number) not in before for number in SIGNALS)
    assert [signal.getsignal(number) for number in SIGNALS] == before
    with pytest.raises(ValueError, match="failed"), stop_requests():
        raise ValueError("failed")
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_an_ignored_signal_stays_ignored_as_under_nohup():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_requests() as requests:
            os.kill(os.getpid(), signal.SIGHUP)
            assert requests.count == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_outside_of_the_main_thread_no_handler_is_set():
    inside, before = [], [signal.getsignal(number) for number in SIGNALS]

    def work() -> None:
        with stop_requests() as requests:
            inside.extend([requests.count, *(signal.getsignal(number) for number in SIGNALS)])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert inside == [0, *before]
