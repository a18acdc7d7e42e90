"""The folder of a comparison."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mimic_ray.base.errors import RunFolderError
from mimic_ray.data.left_out import LeftOut
from mimic_ray.store.comparison_store import (
    ComparisonRecord,
    check_same,
    open_comparison,
    run_name,
)

RECORD = ComparisonRecord(
    command="mimic-ray compare",
    encoder="tiny_resnet",
    teacher="suspect.pth",
    teacher_sha256="ab" * 32,
    data="images",
    data_fingerprint="cd" * 32,
    images=100,
    held_out=0.1,
    defences={"default": {}, "nad": {"steps": 600}},
    seeds=[0, 1],
    stop_rule=True,
    curves=False,
    user_code={"mine.py:f": "12"},
    left_out={"not an image": LeftOut(2, "notes.txt")},
)


@pytest.fixture
def store(tmp_path):
    opened = open_comparison(tmp_path / "compared")
    opened.write_record(RECORD)
    return opened


def test_a_record_is_read_as_it_was_written(store):
    assert store.read_record() == RECORD


def test_a_run_is_its_weights_and_last_its_facts(store):
    weights = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(3)}
    store.write_run("runs/x", {"cosine": 0.5}, weights)
    assert store.read_run("runs/x") == {"cosine": 0.5}
    found = store.read_weights("runs/x")
    assert all(torch.equal(found[key], value) for key, value in weights.items())
    (store.folder / "runs/x/run.json").unlink()  # as a kill before the last write leaves it
    assert store.read_run("runs/x") is None


def test_a_failed_run_has_facts_and_no_weights(store):
    store.write_run("runs/x", {"failure": "no"}, {})
    assert store.read_run("runs/x") == {"failure": "no"}
    with pytest.raises(RunFolderError, match=r"missing.*resume=True"):
        store.read_weights("runs/x")


def test_outcomes_are_read_only_for_the_same_measurement(store):
    arrays = {"now.correct": np.array([[1, 0]], np.uint8)}
    store.write_outcomes("suspect", "patch", arrays)
    assert store.read_outcomes("suspect", "patch")["now.correct"].tolist() == [[1, 0]]
    assert store.read_outcomes("suspect", "sine") == {}
    assert store.read_outcomes("other", "patch") == {}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"teacher_sha256": "00"}, "the teacher's sha256 was abab"),
        ({"data_fingerprint": "00"}, "the images' fingerprint"),
        ({"held_out": 0.2}, "held_out= was 0.1, is 0.2 now"),
        ({"stop_rule": False}, "stop_rule="),
        ({"encoder": "resnet50"}, "the encoder"),
        ({"user_code": {"mine.py:f": "34"}}, "user code.mine.py:f was 12, is 34 now"),
        ({"defences": {"nad": {"steps": 100}}}, "nad.steps was 600, is 100 now"),
    ],
)
def test_another_comparison_is_refused_with_what_differs(changes, words):
    with pytest.raises(RunFolderError) as raised:
        check_same(RECORD, replace(RECORD, **changes))
    assert words in raised.value.message


def test_defences_seeds_and_curves_may_be_added():
    more = {**RECORD.defences, "clp": {"u": 3}}
    check_same(RECORD, replace(RECORD, defences=more, seeds=[0, 1, 2], curves=True))


@pytest.mark.parametrize("code", [{}, {"other.py:g": "56"}])
def test_own_defences_may_be_added_and_left_out(code):
    check_same(RECORD, replace(RECORD, user_code=code))


def test_a_taken_a_foreign_and_a_damaged_folder_are_named(store, tmp_path):
    with pytest.raises(RunFolderError, match="holds another comparison"):
        store.require_free()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(RunFolderError, match="does not belong to a comparison"):
        open_comparison(tmp_path / "other").require_free()
    with pytest.raises(RunFolderError, match="is not a comparison"):
        open_comparison(tmp_path / "other").read_record()
    (store.folder / "comparison.json").write_text("{")
    with pytest.raises(RunFolderError, match="is damaged"):
        store.read_record()
    store.write_run("runs/x", {}, {})
    (store.folder / "runs/x/run.json").write_text("{")
    with pytest.raises(RunFolderError, match="is damaged"):
        store.read_run("runs/x")


def test_runs_of_different_names_have_different_folders():
    names = ["nad", "nad:steps=1", "a/mine.py:nad", "b/mine.py:nad", "mine.py:nad"]
    found = {run_name(name, strength, 0) for name in names for strength in (None, 1.0, 0.001)}
    assert len(found) == 15
    assert run_name("nad", 500.0, 2) == "runs/nad/500/seed-2"
    assert run_name("nad", None, 2) == "runs/nad/own/seed-2"
    assert all(name.count("/") == 3 and ":" not in name for name in found)


def test_a_comparison_can_be_in_object_storage(bucket):
    first = open_comparison(f"{bucket}/compared")
    first.require_free()
    first.write_record(RECORD)
    first.write_run("runs/x/own/seed-0", {"cosine": 0.5}, {"a": torch.ones(2)})
    first.write_outcomes("suspect", "patch", {"now.correct": np.ones((1, 2), np.uint8)})
    first.close()
    second = open_comparison(f"{bucket}/compared")
    with pytest.raises(RunFolderError, match="holds another comparison"):
        second.require_free()
    second.fetch()
    assert second.read_record() == RECORD
    assert second.read_run("runs/x/own/seed-0") == {"cosine": 0.5}
    assert second.read_weights("runs/x/own/seed-0")["a"].tolist() == [1, 1]
    assert second.read_outcomes("suspect", "patch")["now.correct"].tolist() == [[1, 1]]
    second.close()
