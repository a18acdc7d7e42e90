"""The axes of parallel coordinates and the text about a ranking; test_study_report.py draws."""

import pytest

from mimic_ray.report.study_plots import _Column, _short, ranking_words, with_oracle
from mimic_ray.search.trial import Trial


def trial(number, **scores):
    known = {"fidelity": 0.9, "suspicion": number / 10, **scores}
    return Trial(str(number), number, "finished", {}, scores=known)


def test_numbers_run_from_the_smallest_to_the_largest():
    column = _Column("steps", [10, 20, 30, None])
    assert [column.height(value) for value in (10, 20, 30, None)] == [0.0, 0.5, 1.0, None]
    assert column.ends == [(0.0, "10"), (1.0, "30")]


def test_numbers_over_decades_have_a_log_scale_with_zero_at_the_bottom():
    column = _Column("rate", [0.0, 1e-4, 1e-2, 1.0])
    heights = [column.height(value) for value in (0.0, 1e-4, 1e-2, 1.0)]
    assert heights == pytest.approx([0.0, 0.15, 0.575, 1.0])
    assert column.ends[0] == (0.0, "0")


def test_text_values_are_spread_in_alphabetical_order():
    column = _Column("start", ["teacher", "partial", "random"])
    assert [column.height(word) for word in ("partial", "random", "teacher")] == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("values", [[], [None], [3, 3], ["a"], [True], [0.0]])
def test_a_column_with_equal_values_is_at_the_bottom(values):
    column = _Column("x", values)
    assert {column.height(value) for value in values} <= {0.0, None}
    assert column.ends


def test_a_ranking_needs_several_measured_trials():
    trials = [trial(number, asr=10.0 * number, acc=80.0) for number in range(8)]
    assert "Spearman 1.00" in ranking_words(trials, "suspicion", "asr")
    assert ranking_words(trials[:1], "suspicion", "asr").endswith("1 trials: too few to rank")
    assert with_oracle([*trials, trial(9)]) == trials


def test_keys_are_shortened_for_labels():
    assert _short("perturbations.patch.probability") == "patch probability"
    assert _short("mutual_information.threshold") == "MI threshold"
    assert _short("loss.clone.weight") == "clone weight"
