"""Limits and figures of a calibration, on scores whose answer is known."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict

import numpy as np
import pytest

from benchmarks.scan_calibration import (
    auroc,
    calibrated,
    fitted,
    leave_one_kind_out,
    separation,
    total,
    tpr_at,
)
from benchmarks.scan_image_sets import spread
from benchmarks.scan_population import KINDS
from benchmarks.scan_scores import Scanned, read_rows, write_rows
from mimic_ray.scanning.openings import FAMILIES


def population(pairs=40, *, gap=0.5):
    """Attacked encoders lie `gap` higher in one family, benign ones vary by 0.05."""
    draw = np.random.default_rng(0)
    made = []
    for pair in range(pairs):
        for attacked in (True, False):
            values = {family: 0.4 + 0.05 * draw.normal() for family in FAMILIES}
            if attacked:
                values[FAMILIES[pair % len(FAMILIES)]] += gap
            kind = KINDS[pair % len(KINDS)] if attacked else "control"
            made.append(
                Scanned(
                    f"{pair}-{'attacked' if attacked else 'benign'}",
                    pair,
                    attacked,
                    kind,
                    "cifar_resnet20",
                    100.0,
                    0.6,
                    values,
                    values,
                    1.0,
                )
            )
    return made


def test_auroc_is_the_share_of_ordered_pairs():
    assert auroc([0, 1], [2, 3]) == 1
    assert auroc([2, 3], [0, 1]) == 0
    assert auroc([1, 1], [1, 1]) == 0.5
    assert auroc([0, 2], [1, 3]) == 0.75


def test_tpr_counts_what_lies_above_the_allowed_false_alarms():
    benign = list(range(20))
    assert tpr_at(benign, [19.5, 18.5, 17.5], 0.05) == pytest.approx(2 / 3)
    assert tpr_at(benign, [19.5, 18.5, 17.5], 0.01) == pytest.approx(1 / 3)


def test_limits_keep_false_alarms_below_five_percent_on_their_own_encoders():
    encoders = population()
    scale = fitted(encoders, "alone")
    benign = [total(each, "alone") for each in encoders if not each.attacked]
    assert np.mean([score >= scale.suspect_from for score in benign]) <= 0.05
    assert scale.no_evidence_below <= scale.suspect_from


def test_a_gap_is_seen_with_its_kind_left_out_and_noise_is_not():
    clear = separation(leave_one_kind_out(population(), "alone"))
    assert clear["auroc"] > 0.98
    assert clear["attacked_suspect"] > 0.9
    assert clear["auroc_low"] <= clear["auroc"] <= clear["auroc_high"]
    nothing = separation(leave_one_kind_out(population(gap=0.0), "alone"))
    assert 0.3 < nothing["auroc"] < 0.7


def test_each_encoder_is_judged_once_and_without_its_own_kind():
    encoders = population()
    judged = leave_one_kind_out(encoders, "reference")
    assert sorted(each.encoder.name for each in judged) == sorted(e.name for e in encoders)


def test_a_kind_has_no_part_in_its_own_limits():
    encoders = population()
    # Benign partners of one kind with huge scores: only the limits of the other kinds move.
    changed = [
        Scanned(**{**vars(e), "alone": dict.fromkeys(FAMILIES, 9.0)})
        if not e.attacked and e.pair % len(KINDS) == 0
        else e
        for e in encoders
    ]
    for each in leave_one_kind_out(changed, "alone"):
        if each.encoder.attacked:
            own = each.encoder.kind == KINDS[0]
            assert (each.verdict == "suspect") or not own
    others = [e for e in leave_one_kind_out(changed, "alone") if e.encoder.kind == KINDS[1]]
    assert not any(each.verdict == "suspect" for each in others)


def test_few_benign_encoders_add_a_margin():
    few = population(pairs=5)
    largest = max(total(each, "alone") for each in few if not each.attacked)
    assert fitted(few, "alone").suspect_from > largest + 0.09


def test_an_encoder_is_suspect_only_above_the_spread_over_image_sets():
    encoders = population()
    alone, wider = fitted(encoders, "alone"), fitted(encoders, "alone", spread=0.1)
    assert wider.suspect_from == pytest.approx(alone.suspect_from + 0.1)
    assert wider.no_evidence_below == alone.no_evidence_below
    verdicts = {each.verdict for each in leave_one_kind_out(encoders, "alone", spread=1.0)}
    assert verdicts == {"no evidence", "cannot tell"}


def test_the_spread_is_that_of_one_encoder_over_its_image_sets():
    scores = {"a": (0.1, 0.3), "b": (0.7, 0.9)}
    rows = [{"encoder": name, "alone": score} for name in scores for score in scores[name]]
    assert spread(rows, "alone") == pytest.approx(2 * np.sqrt(0.02))


def test_the_content_of_the_file_has_both_scales():
    content = calibrated(population(), {"alone": 0.0, "reference": 0.0})
    assert set(content) == {"alone", "reference"}
    assert content["alone"]["no_evidence_below"] <= content["alone"]["suspect_from"]


def test_the_rows_have_every_encoder_with_its_facts_and_scores(tmp_path):
    attacked, benign = population(1)
    facts = {"target": 3, "rate": 0.04, "acc": 80.5}
    (tmp_path / "scans").mkdir()
    for each, own in (
        (attacked, {"trigger": "patch:side=4", "asr": 41.0}),
        (benign, {"trigger": ""}),
    ):
        content = {"kind": each.kind, "attacked": each.attacked} | facts | own
        (tmp_path / f"{each.name}.json").write_text(json.dumps(content))
        (tmp_path / "scans" / f"{each.name}-full.json").write_text(json.dumps(asdict(each)))
    write_rows(tmp_path / "rows.csv", tmp_path, "full")
    with (tmp_path / "rows.csv").open() as file:
        second, first = sorted(csv.DictReader(file), key=lambda row: row["name"])
    assert (first["change"], first["target"], first["asr"]) == ("control, rate 0.04", "", "")
    assert (second["change"], second["target"], second["asr"]) == ("patch:side=4", "3", "41.0")
    strongest = max(float(second[family]) for family in FAMILIES)
    assert strongest == pytest.approx(total(attacked, "alone"), abs=1e-3)
    (read,) = read_rows(tmp_path / "rows.csv")  # the attack of the other one does not work
    assert (read.name, read.attacked, read.kind) == (benign.name, False, "control")
