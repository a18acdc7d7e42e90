"""`mimic-ray compare` on real images and a real encoder, with built-in defences."""

from __future__ import annotations

import csv
import json

import pytest
from PIL import Image

from mimic_ray.workflows.demo import DATA
from tests.cli.toy_images import run

SHORT = ["default:steps=3,batch=32", "fine_tuning:steps=3,batch=32", "clp"]


def arguments(out, *defences):
    return [
        *("compare", "--encoder", "cifar_resnet20", "--teacher", DATA / "resnet20-cifar10.th"),
        *("--data", DATA / "test.tar.gz", "--train", DATA / "head.tar.gz"),
        *("--test", DATA / "clean.tar.gz", "--trigger", "patch", "--target", "truck"),
        *("--out", out, "--threads", 1, "--device", "cpu"),
        *(word for defence in defences for word in ("--defence", defence)),
    ]


def test_built_in_defences_are_compared_in_one_table_and_one_figure(tmp_path, capsys):
    out = tmp_path / "compared"
    small = ["--seeds", 1, "--head", "linear", "--head-seeds", 2, "--no-lasting"]
    small += ["--train-limit", 400, "--test-limit", 200, "--json"]
    assert run([*arguments(out, *SHORT), *small]) == 0
    rows = {row["defence"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert [*rows] == ["suspect", *SHORT]
    for name in SHORT:
        assert rows[name]["failure"] == ""
        assert rows[name]["cosine"] > 0.5
        assert rows[name]["acc"]["low"] < rows[name]["acc"]["high"]
    # Three steps leave most of the accuracy of a network that was never attacked.
    assert rows["suspect"]["acc"]["successes"] / 200 > 0.7
    assert rows["default:steps=3,batch=32"]["images_seen"] >= 96
    chosen = json.loads((out / "comparison.json").read_text())["choices"]
    bound = rows["default:steps=3,batch=32"]["cosine"]
    for name in SHORT[1:]:
        assert chosen[name]["reached"] == (rows[name]["cosine"] >= bound)
    with (out / "comparison.csv").open() as file:
        assert [line["defence"] for line in csv.DictReader(file)] == ["suspect", *SHORT]
    with Image.open(out / "comparison.png") as image:
        assert abs(image.width - 3.4 * 144) < 1


@pytest.mark.slow
def test_every_built_in_defence_runs_and_what_lasts_is_measured(tmp_path, capsys):
    from mimic_ray.defences.defence_registry import DEFENCES

    out = tmp_path / "compared"
    short = [
        name if "steps" not in DEFENCES.settings(name) else f"{name}:steps=4" for name in DEFENCES
    ]
    small = ["--seeds", 1, "--head", "linear", "--head-seeds", 1, "--no-stop-rule"]
    small += ["--train-limit", 400, "--test-limit", 200, "--json"]
    assert run([*arguments(out, *short), *small]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert sorted(row["defence"] for row in rows[1:]) == sorted(short)
    assert [row["failure"] for row in rows if row["failure"]] == []
    for row in rows[1:]:
        assert row["asr_distilled"]["total"] == row["asr"]["total"]
        assert row["asr_tuned"] is not None
