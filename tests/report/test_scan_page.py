"""The page is one file with everything, and text from outside is escaped."""

from __future__ import annotations

import re

import pytest

from mimic_ray.report.scan_page import write_scan, write_scan_page
from mimic_ray.report.scan_picture import draw_scan
from mimic_ray.scanning.scan_result import Verdict
from tests.report.scan_example import images, openings, result


def test_a_scan_writes_page_picture_and_table(tmp_path):
    write_scan(tmp_path, result(), openings(), images())
    endings = {"html", "json", "png", "pdf", "svg", "csv", "tex", "md"}
    assert {path.name for path in tmp_path.iterdir()} == {f"scan.{end}" for end in endings}
    first = (tmp_path / "scan.csv").read_text().splitlines()[1]
    assert first.startswith("patch,a <white> square,0.97,0.91,1.0,0.88,,0.12,")


@pytest.mark.parametrize("score", [0.88, None])
def test_the_page_needs_no_other_file(tmp_path, score):
    draw_scan(openings(), images(), tmp_path / "scan.png")
    verdict = Verdict.SUSPECT if score else Verdict.CANNOT_TELL
    write_scan_page(result(verdict, score), tmp_path / "scan.png", tmp_path / "scan.html")
    page = (tmp_path / "scan.html").read_text()
    assert f"<h1>Verdict: {verdict.value}.</h1>" in page
    assert page.count("data:image/png;base64,") == 1
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "suspect &lt;b&gt;.pth" in page
    assert "a &lt;white&gt; square" in page
    assert "made by" in page
    assert ("auroc" in page) == (score is not None)
    assert ">reference<" not in page.partition("<h2>Scan</h2>")[2], "settings that were not given"
