from dataclasses import replace
from itertools import permutations

import pytest

from mimic_ray.search.front import choose, pareto_front, rule
from mimic_ray.search.trial import Trial


def trial(number, fidelity, suspicion, status="finished", base=False):
    made = Trial(f"{number:012x}", number, status, {}, base=base)
    return made.with_scores({"fidelity": fidelity, "suspicion": suspicion})


BASE = trial(0, 0.80, 0.40, base=True)
FAITHFUL = trial(1, 0.95, 0.90)
BETTER = trial(2, 0.79, 0.30)  # within the tolerance of the base
EMPTY = trial(3, 0.10, 0.05)  # suspicious of nothing, knows nothing
BEATEN = trial(4, 0.70, 0.35)
ALL = [BASE, FAITHFUL, BETTER, EMPTY, BEATEN]


def numbers(trials):
    return [t.number for t in trials]


def test_the_front_holds_what_no_other_beats_in_both():
    assert numbers(pareto_front(ALL)) == [3, 2, 0, 1]


def test_the_order_in_which_trials_come_does_not_matter():
    for order in permutations(ALL):
        assert numbers(pareto_front(order)) == [3, 2, 0, 1]
        assert choose(order) == BETTER


def test_stopped_failed_and_unscored_trials_are_not_on_the_front():
    nan = float("nan")
    others = [
        trial(5, 1.0, 0.0, "stopped"),
        trial(6, 1.0, 0.0, "failed"),
        trial(7, 1.0, nan),
    ]
    assert pareto_front([*ALL, *others]) == pareto_front(ALL)


def test_of_equal_scores_the_first_stands():
    assert numbers(pareto_front([trial(1, 0.5, 0.5), trial(0, 0.5, 0.5)])) == [0]


def test_the_least_suspicious_that_keeps_the_base_s_fidelity_is_chosen():
    assert choose(ALL) == BETTER
    assert choose(ALL, {"fidelity": 0.0}) == BASE
    assert choose(ALL, {"fidelity": 1.0}) == EMPTY


def test_a_dominated_trial_changes_no_choice():
    assert choose([*ALL, trial(9, 0.5, 0.6)]) == choose(ALL)


def test_the_base_itself_is_chosen_where_nothing_beats_it():
    assert choose([BASE, FAITHFUL, EMPTY]) == BASE


def test_without_a_base_the_knee_is_chosen_whatever_the_scales():
    front = [trial(0, 0.1, 0.1), trial(1, 0.85, 0.2), trial(2, 0.9, 0.9)]
    assert choose(front).number == 1
    scaled = [t.with_scores({"suspicion": 100 * t.score("suspicion") - 3}) for t in front]
    assert choose(scaled).number == 1
    assert choose([trial(0, 0.1, 0.1)]).number == 0


def test_a_base_that_failed_measures_nothing():
    assert choose([replace(BASE, status="failed"), BETTER]) == BETTER


def test_the_rule_names_the_objectives_and_their_tolerance():
    assert rule().startswith(
        "Chosen is the finished trial with the lowest suspicion among those with fidelity at most "
        "0.02 worse than that of the base recipe's own trial."
    )


def test_there_is_no_choice_of_nothing():
    with pytest.raises(ValueError, match="no trial has finished"):
        choose([trial(0, 0.5, 0.5, "stopped")])
