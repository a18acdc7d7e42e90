"""A result as JSON and as a table."""

from __future__ import annotations

import json
from dataclasses import replace

from mimic_ray.scanning.scan_result import OpeningRow, ScanResult, Verdict
from tests.support.frame_columns import columns_of

ROWS = (
    OpeningRow("patch", "a white square", 0.97, 0.9, 1.0, 0.87, 0.1, None, ("a.png", "b.png")),
    OpeningRow("wave", "a wave", 0.6, 0.5, 0.4, 0.3),
)
RESULT = ScanResult(Verdict.SUSPECT, "Because.", 0.87, 0.7, 0.6, ROWS, {"population": {}})


def test_json_holds_everything_in_plain_types():
    content = json.loads(json.dumps(RESULT.to_json()))
    assert content["verdict"] == "suspect"
    assert [row["gathering"] for row in content["openings"]] == [0.97, 0.6]
    assert content["openings"][0]["nearest"] == ["a.png", "b.png"]


def test_a_frame_has_one_line_for_each_opening():
    frame = columns_of(RESULT.to_frame())
    assert list(frame) == list(OpeningRow.__dataclass_fields__)
    assert frame["family"] == ["patch", "wave"]
    assert frame["nearest"] == ["a.png b.png", ""]


def test_a_frame_without_openings_has_the_columns():
    frame = columns_of(replace(RESULT, openings=()).to_frame())
    assert frame == {name: [] for name in OpeningRow.__dataclass_fields__}
