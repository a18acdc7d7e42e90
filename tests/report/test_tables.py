from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from mimic_ray.evaluation.results import EvaluationRow, Proportion
from mimic_ray.report.table_files import markdown
from mimic_ray.report.tables import (
    evaluation_table,
    front_table,
    percent,
    profile_table,
    trials_table,
)
from mimic_ray.search.trial import Trial

SCORES = {"fidelity": 0.9, "suspicion": 0.2}
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
    table = evaluation_table(evaluation.rows)
    terminal, document = printed(table), markdown(table)
    for row in evaluation.rows:
        for cell in (row.encoder, percent(row.acc), percent(row.asr), percent(row.asr_b)):
            assert cell in terminal
            assert f" {cell} " in document


def test_a_table_of_four_columns_fits_a_terminal_of_eighty(evaluation):
    assert "..." not in printed(evaluation_table(evaluation.rows), width=80)
    assert "\u2026" not in printed(evaluation_table(evaluation.rows), width=80)


def test_columns_after_further_training_are_shown_if_they_were_measured():
    rows = [EvaluationRow("suspect", ACC, ACC, acc_tuned=ACC), EvaluationRow("purified", ACC)]
    document = markdown(evaluation_table(rows))
    assert "| Encoder | ACC | ASR | ASR-B | ACC tuned |" in document
    assert "fine-tuned on 1 % of the labelled images" in document
    assert "distilled" not in markdown(evaluation_table(rows[1:]))


def test_the_label_includes_the_head_if_there_are_several():
    rows = [EvaluationRow("suspect", ACC, head=head) for head in ("mlp", "knn")]
    assert "suspect, mlp" in markdown(evaluation_table(rows))
    assert "suspect, knn" in markdown(evaluation_table(rows))
    assert "mlp" not in markdown(evaluation_table(rows[:1]))


@pytest.mark.parametrize("name", ["[red]x[/red]", "a|b", "<script>", "[x](http://y)", "\x1b[31m"])
def test_untrusted_names_are_escaped(name):
    rows = [EvaluationRow(name, ACC)]
    line = markdown(evaluation_table(rows)).splitlines()[2]
    assert line.replace("\\|", "").count("|") == 5
    assert "<script" not in line
    assert "\x1b" not in line + printed(evaluation_table(rows))
    assert "[red]" not in name or "[red]x[/red]" in printed(evaluation_table(rows))


def test_a_tap_below_the_threshold_is_marked_as_not_kept(profile):
    terminal, document = printed(profile_table(profile)), markdown(profile_table(profile))
    assert "| stem | 1.00 | 0.50 | 25.0 % | not kept |" in document
    assert "| layer1 | 3.00 | 1.00 | 75.0 % | 1.50 |" in document
    assert "not kept" in terminal
    assert "gaussian estimate on 1,990 images" in terminal


def test_a_loss_that_reads_no_tap_has_no_weights(profile):
    table = profile_table(profile, weights=False)
    assert "Weight" not in table.header
    assert not {"weight", "kept"} & {*table.records[0]}
    assert {len(line) for line in table.lines} == {len(table.header)} == {4}


def test_records_are_plain_numbers(evaluation, profile):
    [row, _] = evaluation_table(evaluation.rows).records
    assert (row["encoder"], row["acc"], row["heads"]) == ("suspect", 0.815, 2)
    assert row["acc_low"] < row["acc_min"] == 0.81
    assert profile_table(profile).records[1]["share"] == 0.75


def test_the_trials_have_a_column_for_each_setting_and_a_star_at_the_chosen():
    trials = [
        Trial("a", 0, "finished", {"x": 0.123456}, ("l1", "l2"), scores=SCORES),
        Trial("b", 1, "failed", {"y": "partial"}, error="no"),
    ]
    table = trials_table(trials, trials[0])
    assert table.header[-2:] == ["x", "y"]
    assert table.lines[0][:4] == ["0*", "finished", "0.9000", "0.2000"]
    assert [line[-2:] for line in table.lines] == [["0.1235", "-"], ["-", "partial"]]
    assert table.records[0]["x"] == 0.123456
    assert table.records[0]["front"]


def test_an_oracle_study_has_acc_and_asr_in_both_tables():
    trial = Trial("a", 0, "finished", {}, scores={**SCORES, "acc": 81.25, "asr": 2.0})
    for table in (trials_table([trial], None), front_table([trial], trial)):
        at = table.header.index("oracle: ACC")
        assert table.header[at + 1] == "ASR"
        assert table.lines[0][at : at + 2] == ["81.2", "2.0"]
