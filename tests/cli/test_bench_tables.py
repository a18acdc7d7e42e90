"""The tables of `bench`: no name is cut, and the command writes them to a file."""

from __future__ import annotations

import csv
from io import StringIO

import pytest
from rich.console import Console

from mimic_ray.cli.bench_tables import options_table, scaling_table
from mimic_ray.workflows import bench_options, bench_scaling
from mimic_ray.workflows.bench_options import OPTIONS, Effect
from mimic_ray.workflows.bench_scaling import Point
from tests.cli.toy_images import run

EFFECTS = [Effect(name, 0.5, 1.25, 3 << 20, []) for name in OPTIONS]
EFFECTS[0] = Effect("plain", 1.0, 2.5, 6 << 20, ["a note"])
POINTS = [Point("strong", 1, 64, 1000.0, 1.0), Point("weak", 2, 128, 1500.0, 0.75)]


@pytest.mark.parametrize("width", [45, 60, 80])
@pytest.mark.parametrize("table", [options_table(EFFECTS), scaling_table(POINTS)])
def test_no_name_and_no_number_is_cut_at_any_width(table, width):
    file = StringIO()
    Console(file=file, width=width).print(table)
    shown = file.getvalue()
    together = "".join(shown.split())
    for line in table.lines:
        for cell in line:
            assert cell.replace(" ", "") in together, cell
    assert "\u2026" not in shown
    assert max(map(len, shown.splitlines())) <= width


def test_options_are_compared_with_the_first():
    table = options_table(EFFECTS)
    assert table.lines[1][1:] == ["0.5", "x0.50", "3", "x0.50", "1.25"]
    assert table.records[1]["time_ratio"] == table.records[1]["memory_ratio"] == 0.5
    assert table.notes == ["a note"]


@pytest.mark.parametrize("kind", ["options", "scaling"])
def test_the_command_writes_the_table_and_prints_it(kind, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench_options, "bench_options", lambda *_: EFFECTS)
    monkeypatch.setattr(bench_scaling, "bench_scaling", lambda *_, **__: POINTS)
    file = tmp_path / f"{kind}.csv"
    assert run(["bench", kind, "--encoder", "tiny_resnet", "--table", file]) == 0
    shown = capsys.readouterr().out
    lines = list(csv.reader(file.read_text().splitlines()))
    assert [line[0] for line in lines[1:]] == (
        [*OPTIONS] if kind == "options" else ["strong", "weak"]
    )
    for line in lines[1:]:
        assert line[0] in shown
