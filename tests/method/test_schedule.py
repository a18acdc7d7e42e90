import pytest

from mimic_ray.method.schedule import learning_rate


def rates(steps, schedule="one_cycle"):
    return [learning_rate(step, steps, 1.0, schedule, 0.1) for step in range(steps)]


def test_one_cycle_rises_for_a_tenth_and_falls_to_nearly_nothing():
    cycle = rates(100)
    assert cycle[0] == pytest.approx(1 / 25)
    assert cycle.index(max(cycle)) == 10
    assert max(cycle) == 1.0
    assert cycle[-1] < 1e-3


def test_constant_is_constant():
    assert set(rates(7, "constant")) == {1.0}


def test_the_shortest_run_still_learns():
    assert rates(1)[0] > 0
