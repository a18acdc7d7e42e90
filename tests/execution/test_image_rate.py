from __future__ import annotations

import pytest

from mimic_ray.execution import image_rate
from mimic_ray.execution.image_rate import ImageRate


def test_one_slow_step_changes_the_rate_by_a_twentieth_of_its_time(monkeypatch):
    clock = iter([0.0, 0.5, 1.0, 12.0])
    monkeypatch.setattr(image_rate.time, "monotonic", lambda: next(clock))
    rate = ImageRate(batch=64)
    assert rate.step_done() == pytest.approx(64 / 0.5)
    assert rate.step_done() == pytest.approx(64 / 0.5)
    assert rate.step_done() == pytest.approx(64 / (0.95 * 0.5 + 0.05 * 11.0))
