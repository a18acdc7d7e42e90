"""The output of `profile`."""

from __future__ import annotations

import csv
import json

from tests.cli.toy_images import run


def test_each_layer_has_a_row_and_out_has_the_same_numbers(case, tmp_path, capsys):
    words = ["profile", "--encoder", "tiny_resnet", "--teacher", case / "teacher.pth"]
    words += ["--data", case / "images", "--threads", 1]
    assert run([*words, "--out", tmp_path / "new"]) == 0
    shown = capsys.readouterr().out
    assert f"Written to {tmp_path / 'new'}" in shown
    endings = ("parquet", "png", "pdf", "svg", "csv", "tex", "md")
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        f"profile.{ending}" for ending in endings
    }
    assert run([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert all(layer["tap"] in shown for layer in found["taps"])
    with (tmp_path / "new" / "profile.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [float(line["share"]) for line in lines] == [layer["share"] for layer in found["taps"]]
    assert sum(layer["share"] for layer in found["taps"]) > 0.99
