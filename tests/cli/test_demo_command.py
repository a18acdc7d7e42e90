"""The demo creates a new folder each time."""

from __future__ import annotations

from mimic_ray.cli.demo_command import _new_folder
from mimic_ray.scanning.run_scan_meaning import run_scan_meaning
from mimic_ray.workflows.demo import Demo
from tests.cli.toy_images import run
from tests.workflows.test_demo import found

SCAN = {
    "before": {"verdict": "suspect", "score": 0.89},
    "after": {"verdict": "no evidence", "score": 0.12},
    "openings": 11,
    "closed": 10,
    "left": 1,
    "meaning": run_scan_meaning(3),
}


def test_the_demo_shows_scan_purify_scan_before_the_evaluation(tmp_path, monkeypatch, capsys):
    made = Demo(tmp_path, tmp_path / "purified", found(), 300, SCAN, 100.0)
    monkeypatch.setattr("mimic_ray.workflows.demo.demo", lambda *_: made)
    monkeypatch.chdir(tmp_path)
    assert run(["demo"]) == 0
    printed = capsys.readouterr().out
    lines = [
        "  scan before  suspect, score 0.89 of 1\n",
        "  purified     300 steps on clean images; trigger unknown\n",
        "  scan after   no evidence, score 0.12 of 1\n",
        "               10 of 11 openings closed, 1 left\n",
        "               On eight students of an earlier version",
        "  ok  attacked ASR",
    ]
    positions = [printed.find(line) for line in lines]
    assert -1 not in positions, printed
    assert positions == sorted(positions)


def test_an_earlier_demo_is_not_overwritten(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("mimic-ray-demo", "mimic-ray-demo-2", "mimic-ray-demo-3"):
        assert str(_new_folder()) == name
        _new_folder().mkdir()
