"""`mimic-ray compare` on real images and a real encoder, with built-in defences."""

from __future__ import annotations

import csv
import json

import pytest
from PIL import Image

from mimic_ray.defences.defence_registry import DEFENCES
from mimic_ray.workflows.demo import DATA
from tests.cli.toy_images import run

SHORT = ["default:steps=3,batch=32", "fine_tuning:steps=3,batch=32,rate=0.001", "clp"]


def arguments(out, *defences):
    return [
        *("compare", "--encoder", "cifar_resnet20", "--teacher", DATA / "resnet20-cifar10.th"),
        *("--data", DATA / "test.tar.gz", "--train", DATA / "head.tar.gz"),
        *("--test", DATA / "clean.tar.gz", "--trigger", "patch", "--target", "truck"),
        *("--out", out, "--threads", 1, "--device", "cpu"),
        *(word for defence in defences for word in ("--defence", defence)),
    ]


@pytest.mark.slow
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
        assert abs(image.width - 3.4 * 200) < 1


def shortened(name: str) -> str:
    """The defence with as little work as its settings allow."""
    small = {"rounds": 1, "estimator_epochs": 1, "batch": 16}
    given = [
        f"{key}={small.get(key, 2)}"
        for key in DEFENCES.settings(name)
        if key in small or key.endswith("steps")
    ]
    return f"{name}:{','.join(given)}" if given else name


@pytest.mark.slow
def test_every_built_in_defence_can_be_compared(tmp_path, capsys):
    out = tmp_path / "compared"
    defences = [shortened(name) for name in DEFENCES]
    small = ["--seeds", 1, "--head", "linear", "--head-seeds", 1, "--no-stop-rule", "--no-lasting"]
    small += ["--train-limit", 200, "--test-limit", 100, "--json"]
    assert run([*arguments(out, *defences), *small]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["defence"] for row in rows if not row["mapped"]] == ["suspect", *defences]
    assert [row["defence"] for row in rows if row["mapped"]] == [f"{shortened('par')} mapped back"]
    assert [row["failure"] for row in rows if row["failure"]] == []
    assert all(row["asr"]["total"] for row in rows)


@pytest.mark.slow
def test_what_lasts_is_measured_with_the_settings_of_the_page(tmp_path, capsys):
    out = tmp_path / "compared"
    small = ["--seeds", 1, "--head", "linear", "--head-seeds", 1, "--json"]
    small += ["--train-limit", 400, "--test-limit", 200]
    assert run([*arguments(out, SHORT[0]), *small]) == 0
    suspect, row = json.loads(capsys.readouterr().out)["rows"]
    for each in (suspect["acc_tuned"], row["acc_tuned"], row["acc_distilled"]):
        assert each["successes"] / each["total"] > 0.6
    assert row["asr_distilled"]["total"] == row["asr_tuned"]["total"] == row["asr"]["total"]
