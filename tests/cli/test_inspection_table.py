"""The table of `inspect`."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

from rich.console import Console

from mimic_ray.cli.inspection_table import inspection_table
from mimic_ray.weight_files.contents import Contents
from mimic_ray.workflows.inspect import GroupFacts, Inspection, Match

CONTENTS = Contents()
NET = GroupFacts("model", 2, 2000, ["float32", "int64"], ["a"])
FOUND = Inspection(
    "f.pth", "torch-zip", 12_345, "0" * 64, [NET], {"epoch": "[bold]3"}, CONTENTS, [], None
)
FITS = Match(
    "resnet50",
    "model",
    "module.",
    ["fc.weight"],
    ["ema"],
    ["online"],
    ["a note"],
    key_paths=["ema"],
)


def shown(found: Inspection) -> str:
    screen = Console(width=200, record=True, file=StringIO())
    screen.print(inspection_table(found))
    return " ".join(screen.export_text().split())


def test_names_in_the_file_are_not_markup():
    assert "other epoch: [bold]3" in shown(FOUND)


def test_encoders_at_the_same_location_share_a_row():
    text = shown(replace(FOUND, fits=[FITS, replace(FITS, encoder="wide")]))
    assert "fits resnet50, wide at model, keys module.*" in text
    assert text.count("left out: fc.weight") == 1
    assert "the same memory, purified with it: online" in text
    assert "other copy, purified with --all-copies: ema" in text
    assert "to purify another copy: --weights ema a note" in text


def test_the_table_of_a_file_that_no_encoder_fits_suggests_options():
    assert "no known encoder; try --encoder" in shown(FOUND)
    known = shown(replace(FOUND, key_names=["Hugging Face CLIP"]))
    assert "key names are those of Hugging Face CLIP, but no encoder has its sizes" in known


def test_long_lists_are_cut():
    groups = [replace(NET, path=f"group{number}") for number in range(20)]
    text = shown(replace(FOUND, groups=groups))
    assert "and 14 more" in text
    assert "group6" not in text


def test_a_long_note_is_indented_as_a_whole():
    note = "the position embedding was resized from 14 x 14 to 24 x 24 patches"
    screen = Console(width=48, record=True, file=StringIO())
    screen.print(inspection_table(replace(FOUND, fits=[replace(FITS, notes=[note])])))
    lines = [line.rstrip() for line in screen.export_text().splitlines()]
    first = next(number for number, line in enumerate(lines) if "the position" in line)
    last = next(number for number, line in enumerate(lines) if "patches" in line)
    assert last > first
    indents = {len(line) - len(line.lstrip()) for line in lines[first : last + 1]}
    assert indents == {len("tensors  ") + 2}


def test_a_checksum_is_never_cut():
    screen = Console(width=40, record=True, file=StringIO())
    screen.print(inspection_table(FOUND))
    assert FOUND.sha256 in "".join(screen.export_text().split())


def test_what_a_file_would_run_stands_in_place_of_its_safety():
    assert "safe to load: it contains numbers and no code" in shown(FOUND)
    text = shown(replace(FOUND, contents=Contents(["posix.system('[x]')"], ["a.B"], ["c.D"])))
    assert "unsafe Loading this file the ordinary way would call posix.system('[x]')." in text
    assert "objects not built: c.D" in text
    assert "safe to" not in text
