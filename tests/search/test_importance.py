import numpy as np
import pytest

from mimic_ray.search.importance import importance
from mimic_ray.search.trial import Trial


def trials(count, objective):
    rng = np.random.default_rng(0)
    made = []
    for number in range(count):
        settings = {"a": float(rng.uniform()), "b": float(rng.uniform()), "start": "teacher"}
        if rng.uniform() < 0.5:
            settings |= {"start": "partial", "renewed": float(rng.uniform())}
        value = objective(settings)
        made.append(
            Trial(str(number), number, "finished", settings).with_scores(
                {"fidelity": value, "suspicion": -value}
            )
        )
    return made


def test_the_setting_that_decides_has_nearly_all_of_it():
    found = importance(trials(60, lambda s: s["a"]), "fidelity")
    assert next(iter(found)) == "a"
    assert found["a"] > 0.8
    assert sum(found.values()) == pytest.approx(1)


def test_words_and_what_hangs_on_them_are_settings_too():
    found = importance(trials(60, lambda s: s["start"] == "partial"), "suspicion")
    assert found["start"] > 0.4  # "renewed" is drawn with it, and shares the rest
    assert found["start"] + found["renewed"] > 0.8


def test_a_few_trials_say_nothing():
    assert importance(trials(7, lambda s: s["a"]), "fidelity") == {}


def test_an_objective_that_never_moves_has_no_cause():
    assert importance(trials(30, lambda s: 0.5), "fidelity") == {}


def test_the_order_of_the_trials_does_not_matter_for_equal_scores():
    """As many of each score in both groups: nothing is explained, whatever ran first."""
    values = (0.2, 0.8, 0.2, 0.8, 0.2, 0.8, 0.2, 0.8)
    made = [
        Trial(str(number), number, "finished", {"a": number // 4}).with_scores(
            {"fidelity": value, "suspicion": value}
        )
        for number, value in enumerate(values)
    ]
    assert importance(made, "fidelity") == {}
