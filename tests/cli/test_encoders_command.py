"""`mimic-ray encoders`."""

from __future__ import annotations

import json

from tests.cli.toy_images import run


def test_the_table_has_what_an_encoder_is_chosen_by(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "160")
    assert run(["encoders", "tiny_vit"]) == 0
    _, row = capsys.readouterr().out.splitlines()
    words = " ".join(row.split())
    assert words.startswith("tiny_vit 0.0449 M 32 32 imagenet 2 heads, GELU, class token")


def test_json_has_the_same_facts(capsys):
    assert run(["encoders", "tiny_vit", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry["traits"]["heads"] == 2
    assert entry["normalisation"] == "imagenet"


def test_a_misspelt_name_is_answered_with_a_similar_one(capsys):
    assert run(["encoders", "tiny_restnet"]) == 2
    assert "Did you mean tiny_resnet" in capsys.readouterr().err
