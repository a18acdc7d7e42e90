"""The GPU script at a tiny size on a CPU: every case gives a row, and the shell script ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu_throughput import main

ROOT = Path(__file__).resolve().parents[2]


def test_each_case_gives_a_row_and_the_plan_comes_last(tmp_path, capsys):
    arguments = ["--encoder", "tiny_resnet", "--batch", "8", "--steps", "1", "--device", "cpu"]
    cases = ["eager", "bare loop, eager"]
    for case in cases:
        arguments += ["--case", case]
    main([*arguments, "--out", str(tmp_path / "rows.json")])
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [row["case"] for row in rows] == [*cases, "plan"]
    assert all(row["images_s"] > 0 for row in rows)
    assert "of the peak" in capsys.readouterr().out


@pytest.mark.slow
def test_the_whole_script_runs_at_a_tiny_size(tmp_path):
    environment = {**os.environ, "DEVICE": "cpu", "TINY": "1", "PYTHON": sys.executable}
    subprocess.run([ROOT / "benchmarks/gpu.sh", tmp_path / "out"], env=environment, check=True)
    text = (tmp_path / "out/determinism.txt").read_text()
    assert text == "Two purifications with one seed: equal bit for bit.\n"
    assert "ACC" in (tmp_path / "out/evaluation.txt").read_text()
