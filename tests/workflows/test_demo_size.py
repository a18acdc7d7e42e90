"""The sizes of the demo: the largest that fits three minutes, and never less than the smallest."""

from __future__ import annotations

import pytest
import torch

from mimic_ray.encoders.encoder_registry import build
from mimic_ray.execution.step_probe import Pace
from mimic_ray.workflows import demo_size as module
from mimic_ray.workflows.demo_size import SIZES, chosen_size, demo_size


def pace(forward_s: float, steps: float = 3.5) -> Pace:
    spec = build("tiny_resnet").spec
    return Pace(spec, steps * forward_s, forward_s, forward_s, 1e6, 10**6, 0.5)


def test_the_time_is_that_of_all_images_that_pass_through_a_network():
    large = SIZES[0]
    attacked = 3 * 200 * 128
    scanned = 2 * 12_700
    others = 4_000 + 3 * 5_500
    assert large.seconds(pace(1e-3)) == pytest.approx(
        1e-3 * (attacked + scanned + others) + 300 * 64 * 3.5e-3
    )


def test_each_size_is_smaller_than_the_one_before():
    seconds = [size.seconds(pace(1e-3)) for size in SIZES]
    assert seconds == sorted(seconds, reverse=True)
    assert seconds[-1] < 0.7 * seconds[0]


@pytest.mark.parametrize(("forward_s", "number"), [(5e-4, 0), (1e-3, 1), (1e-1, -1)])
def test_a_slow_machine_gets_a_smaller_demo_and_never_none(forward_s, number):
    chosen = chosen_size(pace(forward_s))
    assert chosen == SIZES[number]
    if number >= 0:
        assert chosen.seconds(pace(forward_s)) <= 150


def test_the_faster_number_of_threads_is_taken_and_the_process_keeps_its_own(monkeypatch):
    monkeypatch.setattr(module, "usable_cpus", lambda: 2)
    before = torch.get_num_threads()
    for slower in (1, 2):
        monkeypatch.setattr(
            module,
            "probe",
            lambda _name, _recipe, compute, slower=slower: pace(
                2e-3 if compute.threads == slower else 1e-3
            ),
        )
        size, found = demo_size("tiny_resnet")
        assert size.threads == 3 - slower
        assert found.forward_s == 1e-3
        assert f"{size.purify_steps} of purification, {size.threads} thread" in size.sentence(found)
    assert torch.get_num_threads() == before
