from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from benchmarks import machine_rates
from benchmarks.machine_rates import Rates, at_width, predict, seconds
from mimic_ray.planning.trace import Work
from tests.planning.traced import TRACED

RATES = Rates(
    device="cpu",
    precision="fp32",
    matrix_peak=1e3,
    matrices=((8, 300),),
    convolutions=((16, 50), (256, 200)),
    patches=((32, 10), (128, 40)),
    bandwidth=100,
    launch_s={"matrix": 1, "convolution": 2, "patches": 4, "other": 0.5},
)


def test_rates_are_interpolated_between_widths_on_a_logarithmic_scale():
    # 64 channels are half way between 16 and 256.
    assert at_width(RATES.convolutions, 64) == pytest.approx(100)
    assert at_width(RATES.convolutions, 3) == 50
    assert at_width(RATES.convolutions, 512) == 200


def test_a_step_on_a_cpu_takes_the_sum_of_its_launches_and_its_work():
    traced = replace(TRACED, work=(*TRACED.work, Work("patches", 64, 60, 9, operations=5)))
    working = 600 / 300 + 400 / 100 + 300 / 100 + 60 / 20
    assert predict(traced, RATES) == pytest.approx(working + 1 + 2 + 0.5 + 5 * 4)


def test_on_a_gpu_launches_and_work_overlap():
    gpu = replace(RATES, device="cuda")
    assert predict(TRACED, gpu) == pytest.approx(600 / 300 + 400 / 100 + 300 / 100)
    many = replace(TRACED, work=(Work("other", 0, 0, 300, operations=90),))
    assert predict(many, gpu) == pytest.approx(90 * 0.5)


def test_the_time_is_the_median_without_the_first_round(monkeypatch):
    times = iter([0, 100, 100, 101, 101, 103, 103, 113])
    monkeypatch.setattr(machine_rates, "_now", lambda device: next(times))
    assert seconds(lambda: None, torch.device("cpu"), rounds=3) == 2
