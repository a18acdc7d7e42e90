"""The goodput of a run whose workers are killed: how it is counted, and a short run."""

from __future__ import annotations

import pytest

from benchmarks.goodput import Goodput, StepCount, last_step, measure, projected, three_nodes


def test_steps_that_a_restart_repeats_are_lost():
    steps = StepCount()
    moved = [steps.saw(last) for last in (1, 5, 5, 40, 30, 31, 60, 50)]
    assert moved == [True, True, False, True, False, True, True, False]
    assert (steps.computed, steps.lost) == (39 + 30, [10, 10])


def test_the_time_without_steps_is_not_useful():
    found = Goodput(computed=100, useful=90, seconds=200.0, lost=[10], restarts_s=[50.0])
    assert found.of_steps == 0.9
    assert found.of_time == pytest.approx(0.9 * 0.75)


def test_a_failure_costs_its_restart_and_half_an_interval():
    assert projected(3600, 175, interval_s=10) == pytest.approx(0.98 * 0.95)
    assert projected(60, 100) == 0.0


def test_only_whole_rows_count(tmp_path):
    assert last_step(tmp_path) is None
    log = tmp_path / "metrics.jsonl"
    log.write_text('{"step": 7, "loss": 0.1}\n{"step": 8, "lo')
    assert last_step(tmp_path) == 7


@pytest.mark.slow
@pytest.mark.ray
def test_a_run_goes_on_while_its_workers_are_killed(tmp_path):
    with three_nodes(tmp_path) as cluster:
        found = measure(minutes=1, kill_every_s=20, cluster=cluster)
    assert found.restarts_s
    assert 0 < found.useful <= found.computed
    assert found.of_steps > 0.3
