"""A table as CSV, LaTeX and Markdown: plain numbers, and text from outside is only text."""

from __future__ import annotations

import csv
from io import StringIO

import pytest

from mimic_ray.base.errors import UsageError
from mimic_ray.report.fitted_table import FittedTable
from mimic_ray.report.table_files import (
    csv_text,
    latex,
    latex_text,
    markdown,
    markdown_text,
    require_table_file,
    write_tables,
)

LONG = "my_own_defences/with_a_long_name.py:a_defence_with_a_name_that_is_long"
TABLE = FittedTable(
    ["Encoder", "ACC, %", "ASR"],
    [[LONG, "80.0 (77.4-82.4)", "-"], ["a|b, c", "1.0", "5"]],
    ["A note of my_note."],
    records=[
        {"encoder": LONG, "acc": 0.8, "asr": None},
        {"encoder": "a|b, c", "acc": float("nan")},
    ],
)


def test_csv_has_one_plain_value_in_each_cell_and_nothing_for_what_is_unknown():
    lines = list(csv.DictReader(StringIO(csv_text(TABLE))))
    assert lines[0] == {"encoder": LONG, "acc": "0.8", "asr": ""}
    assert lines[1] == {"encoder": "a|b, c", "acc": "", "asr": ""}


def test_without_records_csv_has_the_cells():
    assert csv_text(FittedTable(["a", "b"], [["x", "1"]])) == "a,b\nx,1\n"
    assert csv_text(FittedTable(["a", "b"], [])) == "a,b\n"


def test_latex_has_as_many_cells_as_columns_and_escapes_names():
    text = latex(TABLE)
    body = text.splitlines()
    assert body[0] == r"\begin{tabular}{lrr}"
    *lines, note = [line for line in body if line.endswith(r"\\")]
    assert [line.count(" & ") for line in lines] == [2, 2, 2]
    paragraph = r"\multicolumn{3}{@{}p{\linewidth}@{}}{\footnotesize A note of my\_note.} \\"
    assert note == paragraph == body[-2]
    assert [line for line in body if "rule" in line] == [r"\toprule", r"\midrule", r"\bottomrule"]
    assert r"with\_a\_long\_name.py:a\_defence\_with\_a\_name\_that\_is\_long" in text
    assert r"ACC, \%" in text


def test_text_in_latex_cannot_be_a_command():
    assert latex_text("a\\b{c}") == r"a\textbackslash{}b\{c\}"
    assert latex_text("50 % & more_") == r"50 \% \& more\_"
    assert latex_text("a\nb") == r"a\textbackslash{}nb"


def test_markdown_has_the_cells_and_the_notes_and_no_links():
    text = markdown(TABLE)
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in table} == {4}
    assert text.endswith("\n\nA note of my\\_note.\n")
    assert markdown_text("![a](b)") == "!\\[a\\](b)"
    several = markdown(FittedTable(["a"], [["1"]], ["One.", "Two."]))
    assert several.endswith("\n\n- One.\n- Two.\n")


def test_three_files_are_written(tmp_path):
    assert write_tables(tmp_path, "front", TABLE) == ["front.csv", "front.tex", "front.md"]
    assert (tmp_path / "front.tex").read_text() == latex(TABLE)
    assert {path.name for path in tmp_path.iterdir()} == {"front.csv", "front.tex", "front.md"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("plan.xlsx", "must end in .csv, .tex or .md"),
        ("plan", "must end in"),
        ("absent/plan.csv", "there is no folder"),
        ("folder.csv", "is a folder"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused(tmp_path, name, words):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UsageError, match=words):
        require_table_file(str(tmp_path / name))
    require_table_file(str(tmp_path / "plan.csv"))


def test_an_address_is_refused():
    with pytest.raises(UsageError, match="is an address"):
        require_table_file("s3://bucket/plan.csv")
