from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from mimic_ray.base.errors import RunFolderError
from mimic_ray.store.study_folder import (
    StudyFolder,
    StudyRecord,
    check_study,
    read_study,
    read_trial,
    read_trials,
    write_study,
    write_table,
    write_trial,
)
from tests.store.example_studies import example_trial, study_record


@pytest.fixture
def record() -> StudyRecord:
    return study_record()


@pytest.fixture
def folder(tmp_path, record) -> StudyFolder:
    made = StudyFolder(tmp_path / "study")
    made.create(record)
    return made


def test_a_record_is_read_back_as_it_was_written(folder, record):
    assert read_study(folder) == record
    ended = record.ended("finished", 3.5)
    write_study(folder, ended)
    assert read_study(folder).seconds == 3.5


def test_a_trial_is_read_back_as_it_was_written(folder):
    written = example_trial(
        3, settings={"loss.clone": 0.5, "student.start": "partial"}, kept=("a", "b")
    )
    write_trial(folder, replace(written, scores={"fidelity": 0.9}))
    found = read_trial(folder, written.id)
    assert (found.settings, found.kept, found.scores) == (
        written.settings,
        ("a", "b"),
        {"fidelity": 0.9},
    )


def test_trials_come_in_the_order_in_which_they_began(folder):
    for number in (2, 0, 1):
        write_trial(folder, example_trial(number))
    assert [found.number for found in read_trials(folder)] == [0, 1, 2]


def test_a_trial_that_never_began_is_none(folder):
    assert read_trial(folder, "000000000000") is None


def test_a_damaged_trial_is_named_with_the_way_out(folder):
    write_trial(folder, example_trial())
    (folder.trial(example_trial().id).path / "trial.json").write_text("{")
    with pytest.raises(RunFolderError, match=r"trial.json is damaged: delete .*resume=True"):
        read_trials(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data_fingerprint": "00" * 32}, "images' fingerprint"),
        ({"teacher_sha256": "00" * 32}, "teacher's sha256"),
        ({"encoder": "tiny_vit"}, "the encoder was tiny_resnet, is tiny_vit now"),
        ({"recipe": {"training": {"steps": 80}}}, "recipe.training.steps was 40, is 80 now"),
        ({"space": {"loss.clone": "uniform(0, 2)"}}, "search.loss.clone"),
        ({"held_out": 0.3}, "held_out= was 0.2, is 0.3 now"),
        ({"oracle": {"trigger": "patch"}}, "oracle.trigger"),
    ],
)
def test_a_resume_of_another_study_is_refused_and_says_what_differs(record, change, words):
    with pytest.raises(RunFolderError, match=words):
        check_study(record, replace(record, **change))


def test_more_trials_do_not_make_another_study(record):
    check_study(record, replace(record, trials=64, seed=record.seed))


def test_a_folder_without_a_study_cannot_go_on(tmp_path):
    with pytest.raises(RunFolderError, match="is not a study folder"):
        read_study(StudyFolder(tmp_path))


def test_the_table_has_a_column_for_every_setting_and_marks_front_and_choice(folder):
    trials = [
        example_trial(0, settings={"loss.clone": 0.5}, scores={"fidelity": 0.9}),
        example_trial(
            1, settings={"student.start": "partial", "loss.clone": 2}, scores={"fidelity": 0.8}
        ),
    ]
    write_table(folder, trials, chosen=trials[1].id, front={t.id for t in trials})
    rows = pq.read_table(folder.table).to_pylist()
    assert [row["loss.clone"] for row in rows] == [0.5, 2]
    assert [row["student.start"] for row in rows] == [None, "partial"]
    assert [row["fidelity"] for row in rows] == [0.9, 0.8]
    assert [row["chosen"] for row in rows] == [False, True]
    assert all(row["front"] for row in rows)


def test_a_setting_of_numbers_and_words_is_a_column_of_words(folder):
    trials = [example_trial(0, settings={"x": 1}), example_trial(1, settings={"x": "many"})]
    write_table(folder, trials, chosen="", front=set())
    assert [row["x"] for row in pq.read_table(folder.table).to_pylist()] == ["1", "many"]
