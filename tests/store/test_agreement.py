from __future__ import annotations

import dataclasses

import pytest

from mimic_ray.base.errors import RunFolderError
from mimic_ray.store.agreement import agreement, check_agreement

RECIPE = {"training": {"steps": 600, "seed": 0}, "adversary": {"bases": ["pixel"]}}


def test_the_same_run_agrees_without_a_word(record):
    toml, model = RECIPE, {**RECIPE, "adversary": {"bases": ("pixel",)}}
    assert check_agreement(agreement(record, toml), agreement(record, model)) == []


def test_everything_that_differs_is_named_at_once_with_old_and_new(record):
    other = dataclasses.replace(record, teacher_sha256="ff", data_fingerprint="ee")
    recipe = {"training": {"steps": 800, "batch": 32}, "adversary": {"bases": ["pixel"]}}
    with pytest.raises(RunFolderError) as caught:
        check_agreement(agreement(record, RECIPE), agreement(other, recipe))
    for sentence in [
        f"the teacher's sha256 was {'ab' * 32}, is ff now",
        f"the images' fingerprint was {'cd' * 32}, is ee now",
        "recipe.training.steps was 600, is 800 now",
        "recipe.training.seed was 0, is not set now",
        "recipe.training.batch was not set, is 32 now",
    ]:
        assert sentence in str(caught.value)
    assert "bases" not in str(caught.value)


def test_another_content_of_a_users_file_is_another_run(record):
    before = dataclasses.replace(record, user_code={"my.py:term": "aa"})
    after = dataclasses.replace(record, user_code={"my.py:term": "bb"})
    with pytest.raises(RunFolderError, match=r"user code\.my\.py:term was aa, is bb now"):
        check_agreement(agreement(before, RECIPE), agreement(after, RECIPE))


def test_another_machine_is_a_warning_not_a_refusal(record):
    other = dataclasses.replace(record, compute={**record.compute, "threads": 8}, workers=2)
    warnings = check_agreement(agreement(record, RECIPE), agreement(other, RECIPE))
    assert len(warnings) == 2
    assert warnings[0].startswith("threads was 1, is 8 now")
    assert warnings[1].startswith("workers was 1, is 2 now")
