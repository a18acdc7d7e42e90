from __future__ import annotations

import dataclasses
import re

import pytest

from mimic_ray.base import files
from mimic_ray.base.errors import RunFolderError
from mimic_ray.data.perturbations.perturbation_registry import PERTURBATIONS
from mimic_ray.method.adversary import BASES
from mimic_ray.method.recipe import Recipe, parse_recipe
from mimic_ray.report.model_card import write_model_card
from mimic_ray.report.run_report import write_report
from mimic_ray.report.tables import percent
from mimic_ray.store.recipe_file import write_recipe


def card(folder, record):
    write_model_card(folder, record)
    return folder.card.read_text()


def section(text, title):
    return text.split(f"## {title}")[1].split("\n## ")[0]


def test_the_card_has_everything_to_reproduce_the_run(folder, record):
    text = card(folder, record)
    for fact in [
        record.command,
        record.teacher_sha256,
        record.data_fingerprint,
        "Seed: 7",
        "1,990 unlabelled, 10 broken images skipped",
        "600 steps of 600",
        "resumed after step 100, 300",
        f"torch {record.versions['torch']}",
        "export/suspect.pth",
        "mimic_ray.load_encoder",
    ]:
        assert fact in text


def test_the_card_has_what_the_teachers_file_would_run(folder, record):
    notes = ["Loading this file the ordinary way would call posix.system('|x').", "A copy."]
    text = card(folder, dataclasses.replace(record, teacher_notes=notes))
    assert (
        "| Its file | Loading this file the ordinary way would call posix.system('\\|x'). |" in text
    )
    assert "| Its file | A copy. |" in text
    assert "Its file" not in card(folder, record)


def test_the_card_does_not_claim_that_the_encoder_is_clean(folder, record, evaluation):
    files.write_json(folder.evaluation, evaluation.to_json())
    text = card(folder, record).lower()
    assert not re.search(r"\b(clean|safe|removed|secure|trustworthy)\b", text)
    assert "no guarantee" in text
    assert "may still work" in text


def test_every_perturbation_and_basis_has_a_description():
    assert all(PERTURBATIONS.description(name) != name for name in PERTURBATIONS)
    assert set(BASES) == set(Recipe().adversary.bases)


def test_families_in_the_recipe_are_imitated_and_the_others_are_listed_as_not_imitated(
    folder, record
):
    recipe = parse_recipe({"perturbations": {"patch": {"probability": 0}}})
    write_recipe(folder.recipe, recipe)
    said = section(card(folder, record), "Kinds of trigger")
    imitated, left_out = said.split("Not imitated")
    assert "- blends" in imitated
    assert "on 30 % of the student's images, strength 1" in imitated
    assert "- patches" not in imitated
    assert "patches: a small area" in left_out
    assert "an adversary that searches" in imitated


def test_a_recipe_without_asymmetry_imitates_nothing(folder, record):
    recipe = parse_recipe(
        {"views": {"asymmetric": False}, "adversary": {"share": 0}, "openings": {"share": 0}}
    )
    write_recipe(folder.recipe, recipe)
    assert "None: student and teacher get the same" in section(
        card(folder, record), "Kinds of trigger"
    )


def test_a_run_too_short_to_purify_says_so_whatever_was_measured(folder, record, evaluation):
    assert "purify" not in section(card(folder, record), "What was measured")
    write_recipe(folder.recipe, parse_recipe({"training": {"steps": 1, "batch": 8}}))
    files.write_json(folder.evaluation, evaluation.to_json())
    measured = section(card(folder, dataclasses.replace(record, images=10)), "What was measured")
    assert "**10 images and 1 step of 8 purify next to nothing" in measured


def test_the_card_without_an_evaluation_states_that_nothing_was_measured(folder, record):
    measured = section(card(folder, record), "What was measured")
    assert "Neither accuracy nor attack success" in measured
    assert "ASR-B" not in measured


def test_an_evaluation_is_shown_with_its_test_and_intervals(folder, record, evaluation):
    files.write_json(folder.evaluation, evaluation.to_json())
    measured = section(card(folder, record), "What was measured")
    assert f"| purified | {percent(evaluation.rows[1].acc)} |" in measured
    assert "95 % confidence intervals over heads and test images" in measured
    assert "- trigger: patch" in measured
    assert "- target: 9 (truck)" in measured


def test_every_picture_in_the_card_is_in_the_folder(folder, record, evaluation):
    files.write_json(folder.evaluation, evaluation.to_json())
    write_report(folder, record)
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", folder.card.read_text())
    assert sorted(pictures) == ["evaluation.png", "loss.png", "profile.png"]
    assert all((folder.path / name).is_file() for name in pictures)


def test_secrets_are_removed_from_the_card(folder, record, monkeypatch):
    monkeypatch.setenv("STORE_TOKEN", "hunter2-hunter2")
    record = dataclasses.replace(
        record,
        command="mimic-ray purify --hub-token hunter2-x --data https://me:hunter2@host/?sig=hunter2",
        data="s3://hunter2-hunter2/images",
    )
    assert "hunter2" not in card(folder, record)


def test_untrusted_text_cannot_add_markup(folder, record):
    record = dataclasses.replace(
        record, command="x\n```\n# You may trust this", teacher="a|b<img src=x>`.pth"
    )
    lines = card(folder, record).splitlines()
    assert "# You may trust this" not in lines
    assert "<img" not in "\n".join(lines)


def test_a_damaged_evaluation_is_named(folder, record):
    folder.evaluation.write_text('{"rows": [{}]}')
    with pytest.raises(RunFolderError, match=r"evaluation\.json is damaged"):
        write_model_card(folder, record)
