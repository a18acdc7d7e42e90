from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from mimic_ray.evaluation.results import EvaluationRow, Proportion
from mimic_ray.report.tables import (
    evaluation_markdown,
    evaluation_note,
    evaluation_table,
    markdown_text,
    percent,
    profile_markdown,
    profile_table,
)

ACC = Proportion(800, 1000, 0.774, 0.824)


def printed(table, width=100):
    console = Console(file=StringIO(), width=width)
    console.print(table)
    return console.file.getvalue()


def test_a_proportion_is_shown_with_its_interval():
    assert percent(ACC) == "80.0 % (77.4-82.4)"


def test_a_missing_measurement_is_a_dash():
    assert percent(None) == "-"
    assert percent(Proportion(0, 100, 0.0, 0.037)).startswith("0.0 %")


def test_terminal_and_markdown_show_the_same_cells(evaluation):
    terminal, markdown = (
        printed(evaluation_table(evaluation.rows)),
        evaluation_markdown(evaluation.rows),
    )
    for row in evaluation.rows:
        for cell in (row.encoder, percent(row.acc), percent(row.asr), percent(row.asr_b)):
            assert cell in terminal
            assert f" {cell} " in markdown


def test_a_table_of_four_columns_fits_a_terminal_of_eighty(evaluation):
    assert "..." not in printed(evaluation_table(evaluation.rows), width=80)
    assert "\u2026" not in printed(evaluation_table(evaluation.rows), width=80)


def test_the_note_has_the_largest_spread_over_seeds(evaluation):
    # ACC 81.0-82.0 and 83.0-83.4; ASR 873-870 and 20-29 of 900.
    assert "Means of 2 heads" in evaluation_note(evaluation.rows)
    assert "in ACC by 1.0 and in ASR by 1.0 points" in evaluation_note(evaluation.rows)
    assert "Means" not in evaluation_note([EvaluationRow("one", ACC)])


def test_the_label_includes_the_head_if_there_are_several():
    rows = [EvaluationRow("suspect", ACC, head=head) for head in ("mlp", "knn")]
    assert "suspect, mlp" in evaluation_markdown(rows)
    assert "suspect, knn" in evaluation_markdown(rows)
    assert "mlp" not in evaluation_markdown(rows[:1])


@pytest.mark.parametrize("name", ["[red]x[/red]", "a|b", "<script>", "[x](http://y)", "\x1b[31m"])
def test_untrusted_names_are_escaped(name):
    rows = [EvaluationRow(name, ACC)]
    line = evaluation_markdown(rows).splitlines()[2]
    assert line.replace("\\|", "").count("|") == 5
    assert "<script" not in line
    assert "\x1b" not in line + printed(evaluation_table(rows))
    assert "[red]" not in name or "[red]x[/red]" in printed(evaluation_table(rows))


def test_keys_do_not_become_links_in_markdown():
    assert markdown_text("![a](b)") == "!\\[a\\](b)"


def test_a_tap_below_the_threshold_is_marked_as_not_kept(profile):
    terminal, markdown = printed(profile_table(profile)), profile_markdown(profile)
    assert "| stem | 1.00 | 0.50 | 25.0 % | not kept |" in markdown
    assert "| layer1 | 3.00 | 1.00 | 75.0 % | 1.50 |" in markdown
    assert "not kept" in terminal
    assert "gaussian estimate on 1,990 images" in terminal
