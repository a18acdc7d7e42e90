"""The stop rule, on cosines that are written down here."""

from __future__ import annotations

import pytest

from mimic_ray.defences.stop_rule import Choice, Contest, DefenceRun


def contest(**settings) -> Contest:
    strengths = {"default": (), "knob": (1.0, 2.0, 3.0), "plain": ()}
    return Contest("default", strengths, (0, 1), **settings)


def run(contest: Contest, cosine) -> dict[DefenceRun, float | None]:
    """Does what is wanted, one after another, until nothing is."""
    found: dict[DefenceRun, float | None] = {}
    while wanted := contest.wanted(found):
        found[wanted[0]] = cosine(wanted[0])
    return found


def by_strength(**cosines):
    """Cosine of each strength of `knob`; all others have 0.9."""
    values = {float(name.removeprefix("at_")): value for name, value in cosines.items()}
    return lambda unit: values.get(unit.strength, 0.9) if unit.defence == "knob" else 0.9


def test_the_baseline_runs_first():
    units = [*run(contest(), by_strength(at_3=0.9))]
    assert units[:2] == [DefenceRun("default", None, 0), DefenceRun("default", None, 1)]


def test_the_strongest_that_is_no_lower_than_the_baseline_is_chosen():
    found = run(contest(), by_strength(at_1=0.99, at_2=0.9, at_3=0.8999))
    assert contest().choice("knob", found) == Choice(2.0, True)


def test_only_the_chosen_strength_runs_with_all_seeds():
    found = run(contest(), by_strength(at_1=0.99, at_2=0.95, at_3=0.5))
    ran = {(unit.strength, unit.seed) for unit in found if unit.defence == "knob"}
    assert ran == {(3.0, 0), (2.0, 0), (2.0, 1)}


def test_a_cosine_that_rises_again_is_no_problem():
    """A bisection would start at 2 and go down; the strongest that passes is 3."""
    found = run(contest(), by_strength(at_1=0.99, at_2=0.2, at_3=0.91))
    assert contest().choice("knob", found) == Choice(3.0, True)


def test_if_none_passes_the_weakest_is_reported_and_said_not_to_pass():
    found = run(contest(), by_strength(at_1=0.7, at_2=0.6, at_3=0.5))
    assert contest().choice("knob", found) == Choice(1.0, False)
    assert DefenceRun("knob", 1.0, 1) in found


def test_a_failed_strength_does_not_pass():
    found = run(contest(), by_strength(at_1=0.99, at_2=0.95, at_3=None))
    assert contest().choice("knob", found) == Choice(2.0, True)
    found = run(contest(), by_strength(at_1=None, at_2=None, at_3=None))
    assert contest().choice("knob", found) == Choice(1.0, False)


def test_a_defence_with_one_strength_is_reported_and_judged():
    def cosine(unit):
        return 0.8 if unit.defence == "plain" else 0.9

    assert contest().choice("plain", run(contest(), cosine)) == Choice(None, False)
    assert contest().choice("plain", run(contest(), lambda unit: 0.9)) == Choice(None, True)


def test_other_seeds_have_no_part_in_the_choice():
    def cosine(unit):
        return 0.1 if unit.seed == 1 else 0.95

    assert contest().choice("knob", run(contest(), cosine)) == Choice(3.0, True)


def test_without_the_rule_every_defence_has_its_own_settings():
    found = run(contest(stop_rule=False), lambda unit: 0.1)
    assert {(unit.defence, unit.strength) for unit in found} == {
        ("default", None),
        ("knob", None),
        ("plain", None),
    }
    assert contest(stop_rule=False).choice("knob", found) == Choice(None)


def test_curves_run_every_strength_with_every_seed():
    found = run(contest(curves=True), by_strength(at_1=0.99, at_2=0.95, at_3=0.5))
    ran = {(unit.strength, unit.seed) for unit in found if unit.defence == "knob"}
    assert ran == {(strength, seed) for strength in (1.0, 2.0, 3.0) for seed in (0, 1)}
    assert contest(curves=True).choice("knob", found) == Choice(2.0, True)
    assert contest(curves=True).points("knob", found) == [1.0, 2.0, 3.0]
    assert contest().points("knob", found) == [2.0]


def test_without_a_baseline_nothing_is_chosen_and_nothing_of_the_others_wanted():
    failed = {DefenceRun("default", None, 0): None, DefenceRun("default", None, 1): None}
    assert contest().wanted(failed) == []
    assert contest().choice("knob", failed) is None


def test_runs_that_do_not_depend_on_each_other_are_wanted_together():
    """So that tasks on a cluster can do them at the same time."""
    found = {DefenceRun("default", None, 0): 0.9}
    assert contest().wanted(found) == [
        DefenceRun("default", None, 1),
        DefenceRun("knob", 3.0, 0),
        DefenceRun("plain", None, 0),
    ]


@pytest.mark.parametrize(
    "settings", [{}, {"stop_rule": False}, {"curves": True}, {"curves": True, "stop_rule": False}]
)
@pytest.mark.parametrize("lowest", [0.0, 0.9])
def test_no_more_runs_are_needed_than_announced(settings, lowest):
    one = contest(**settings)
    found = run(one, lambda unit: lowest if unit.defence == "knob" else 0.9)
    assert len(found) <= one.most()
    if lowest == 0.0:  # the rule goes down to the weakest
        assert len(found) == one.most()


def test_after_a_failed_bound_nothing_is_wanted_even_with_curves():
    def fails(unit):
        return None if unit.defence == "default" else 0.9

    for curves in (False, True):
        assert [*run(contest(curves=curves), fails)] == [DefenceRun("default", None, 0)]
    without = contest(stop_rule=False)
    assert not without.decides(DefenceRun("default", None, 0))
    assert len(run(without, fails)) > 1
