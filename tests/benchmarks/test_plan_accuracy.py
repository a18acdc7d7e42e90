"""The predicted time of a step against real steps of four networks."""

from __future__ import annotations

import json

import pytest

from benchmarks import plan_accuracy
from mimic_ray.base import devices


@pytest.mark.slow
@pytest.mark.timing
@pytest.mark.parametrize("encoder", plan_accuracy.CASES)
def test_the_predicted_step_time_is_within_20_percent(encoder):
    compute = devices.choose("cpu", "fp32", 1)
    found = plan_accuracy.benchmark(encoder, plan_accuracy.CASES[encoder], compute)
    assert 0.8 < found.ratio < 1.2


@pytest.mark.slow
def test_the_script_prints_prediction_and_measurement(capsys):
    plan_accuracy.main(["--encoder", "tiny_vit", "--json"])
    (row,) = json.loads(capsys.readouterr().out)
    assert row["ratio"] == row["predicted_s"] / row["measured_s"] > 0
    assert 0 < row["peak_share"] < 3
