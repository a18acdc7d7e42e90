"""Trials as flat rows: test_study_folder.py reads the same rows from trials.parquet."""

from __future__ import annotations

from mimic_ray.search.trial import Trial
from mimic_ray.search.trial_rows import trial_rows


def test_a_row_has_the_scores_the_settings_and_the_marks_of_its_trial():
    trials = [
        Trial("0a", 0, "finished", {"loss.clone": 0.5}, ("a", "b"), scores={"fidelity": 0.9}),
        Trial("0b", 1, "failed", {"student.start": "partial"}, error="no"),
    ]
    first, second = trial_rows(trials, "0a", {"0a"})
    assert (first["fidelity"], first["loss.clone"], first["kept"]) == (0.9, 0.5, "a,b")
    assert (first["front"], first["chosen"], second["front"]) == (True, True, False)
    assert (second["student.start"], second["error"]) == ("partial", "no")
    assert "settings" not in first
