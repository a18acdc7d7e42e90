"""Ends of a search that tests/workflows/test_tune.py does not cover."""

from __future__ import annotations

from types import SimpleNamespace

from mimic_ray.base.errors import StorageError
from mimic_ray.search.trial import Trial
from mimic_ray.workflows.study_outcome import (
    Tuned,
    _too_many_failed,
    is_exhausted,
    record_failure,
)
from tests.support.frame_columns import columns_of


def failed(number):
    settings = {"training.learning_rate": 0.0123456, "views.kind": "simclr"}
    return Trial(f"{number:012x}", number, "failed", settings, error="not finite")


def test_only_some_of_many_failed_trials_are_shown():
    message = _too_many_failed([failed(number) for number in range(8)], 0.25, 16).message
    assert "8 of 16 trials failed, more than failed_share=0.25" in message
    assert "trial 4 (training.learning_rate=0.01235, views.kind=simclr): not finite" in message
    assert "trial 5" not in message
    assert "and 3 more" in message


def test_a_study_whose_trials_all_failed_is_not_said_to_exceed_a_share_of_one():
    message = _too_many_failed([failed(0)], 1.0, 1).message
    assert message.startswith("1 of 1 trials failed, and no other has a score: trial 0")


def test_a_study_without_a_scored_trial_is_not_complete():
    assert not is_exhausted([failed(0), failed(1)], 2)
    scored = Trial("a", 0, "finished", {}, scores={"fidelity": 0.9, "suspicion": 0.1})
    assert is_exhausted([failed(0), scored], 2)
    assert not is_exhausted([scored], 2)


def test_a_storage_that_fails_does_not_hide_the_error_of_the_search():
    def fails(_record):
        raise StorageError("away")

    missing = SimpleNamespace(record=SimpleNamespace(exists=lambda: False))
    store = SimpleNamespace(shorten_timeouts=lambda: None, clear=lambda: fails(None))
    study = SimpleNamespace(store=store, folder=missing)
    record_failure(study, True, RuntimeError("first"), 1.0)


def test_a_frame_has_a_line_for_each_trial_with_its_scores_and_settings():
    scored = Trial("a", 8, "finished", {"views.kind": "plain"}, scores={"fidelity": 0.9})
    found = Tuned("s", "s/best.toml", "s/report.html", scored, [scored], [failed(0), scored], None)
    frame = columns_of(found.to_frame())
    assert (frame["number"], frame["chosen"]) == ([0, 8], [False, True])
    assert frame["views.kind"] == ["simclr", "plain"]
    assert frame["fidelity"][1] == 0.9
