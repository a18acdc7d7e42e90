"""`mimic-ray encoders`."""

from __future__ import annotations

import json

import pytest

from tests.cli.toy_images import run
from tests.support.console_width import PIPE, set_width


def test_the_table_has_what_an_encoder_is_chosen_by(monkeypatch, capsys):
    set_width(monkeypatch, 160)
    assert run(["encoders", "tiny_vit"]) == 0
    rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert any(
        row.startswith("tiny_vit 0.0449 M 32 32 imagenet 2 heads, GELU, class token")
        for row in rows
    )


@pytest.mark.parametrize("width", [45, 60, PIPE])
def test_no_name_is_cut_at_any_width_and_in_a_pipe(monkeypatch, capsys, width):
    set_width(monkeypatch, width)
    assert run(["encoders", "clip_vit_b*", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert run(["encoders", "clip_vit_b*"]) == 0
    shown = capsys.readouterr().out
    for entry in entries:
        assert entry["name"] in shown.split(), entry
    assert "Hugging Face CLIP" in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= width


def test_json_has_the_same_facts(capsys):
    assert run(["encoders", "tiny_vit", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry["traits"]["heads"] == 2
    assert entry["normalisation"] == "imagenet"


def test_a_misspelt_name_is_answered_with_a_similar_one(capsys):
    assert run(["encoders", "tiny_restnet"]) == 2
    assert "Did you mean tiny_resnet" in capsys.readouterr().err
