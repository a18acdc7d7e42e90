import math
from dataclasses import replace

import pytest

from mimic_ray.search.trial import Trial, total

NEW = Trial("0a", 3, "running", {"loss.clone": 0.5})


def test_a_new_trial_has_no_scores():
    assert not NEW.scored
    assert math.isnan(NEW.score("fidelity"))
    assert NEW.objectives_in_words() == "fidelity -, suspicion -"


@pytest.mark.parametrize("missing", ["fidelity", "suspicion"])
def test_a_trial_is_scored_when_both_objectives_are_known(missing):
    scores = {"fidelity": 0.9, "suspicion": 0.0}
    assert NEW.with_scores(scores).scored
    assert not NEW.with_scores({**scores, missing: math.nan}).scored


def test_scores_replace_those_of_an_earlier_rung_and_nothing_else():
    later = NEW.with_scores({"fidelity": 0.5, "acc": 80.0}).with_scores({"fidelity": 0.9})
    assert later.scores == {"fidelity": 0.9, "acc": 80.0}
    assert (later.id, later.number, later.settings) == (NEW.id, NEW.number, NEW.settings)


def test_the_overhead_of_a_resumed_trial_adds_to_that_of_the_process_before():
    before = replace(NEW, seconds=40.0, overhead_s=5.0, extra={"scoring_s": 10.0})
    done = replace(before, seconds=60.0, extra={"scoring_s": 13.0})
    assert done.with_overhead(30.0, before).overhead_s == 5.0 + 30 - 20 - 3
    assert done.with_overhead(22.9, before).overhead_s == 5.0
    assert done.with_overhead(80.0, NEW).overhead_s == 80 - 60 - 13


def test_the_total_adds_what_is_better_high_and_subtracts_what_is_better_low():
    assert total({"fidelity": 0.9, "suspicion": 0.25, "acc": 80.0}) == pytest.approx(0.65)
    assert math.isnan(total({"fidelity": 0.9}))
