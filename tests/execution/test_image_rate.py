from __future__ import annotations

import pytest

from mimic_ray.execution.image_rate import ImageRate


def test_one_slow_step_changes_the_rate_by_a_twentieth_of_its_time():
    clock = iter([0.0, 0.5, 1.0, 12.0])
    rate = ImageRate(64, lambda: next(clock))
    assert rate.step_done() == pytest.approx(64 / 0.5)
    assert rate.step_done() == pytest.approx(64 / 0.5)
    assert rate.step_done() == pytest.approx(64 / (0.95 * 0.5 + 0.05 * 11.0))


def test_the_share_of_waiting_is_that_of_the_newest_steps():
    times = iter([0.0, 1.0, 2.0, 3.0])
    rate = ImageRate(10, lambda: next(times))
    rate.step_done(waited_s=0.5)
    assert rate.data_wait == pytest.approx(0.5)
    rate.step_done(waited_s=0.5)  # the second step did not wait
    assert rate.data_wait == pytest.approx(0.95 * 0.5)
    rate.step_done(waited_s=1.5)  # the third one did nothing else
    assert rate.data_wait == pytest.approx(0.95 * 0.475 + 0.05)
