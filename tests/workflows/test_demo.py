"""The checks of the demo, and its data."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from mimic_ray.evaluation.results import Evaluation, EvaluationRow, Proportion
from mimic_ray.workflows.demo import DATA, DemoError, check_results


def percent(number: float) -> Proportion:
    return Proportion.of(round(10 * number), 1000)


def found(attacked=(80.0, 95.0), purified=(79.0, 4.0), floor=1.0) -> Evaluation:
    rows = (
        EvaluationRow("reference", percent(80.0), None, percent(floor)),
        EvaluationRow("attacked", percent(attacked[0]), percent(attacked[1]), percent(floor)),
        EvaluationRow("purified", percent(purified[0]), percent(purified[1]), percent(floor)),
    )
    return Evaluation(rows)


def test_results_as_expected_are_listed_with_their_numbers():
    lines = check_results(found())
    assert len(lines) == 3
    assert "attacked ASR 95.0% is at least 90%" in lines


@pytest.mark.parametrize(
    ("evaluation", "words"),
    [
        (found(attacked=(80.0, 89.0)), "attacked ASR 89.0%"),
        (found(purified=(79.0, 11.5)), "purified ASR 11.5%"),
        (found(purified=(76.5, 4.0)), "purified ACC 76.5%"),
    ],
)
def test_a_result_that_is_worse_than_expected_fails_the_demo(evaluation, words):
    with pytest.raises(DemoError, match="not as expected") as caught:
        check_results(evaluation)
    assert words in caught.value.message
    assert caught.value.message.count(" is ") == 1
    assert caught.value.exit_code == 1


def test_the_data_of_the_demo_is_in_the_package():
    files = {path.name for path in DATA.iterdir()}
    assert {"clean.tar.gz", "head.tar.gz", "test.tar.gz", "resnet20-cifar10.th"} <= files
    assert {"README.md", "resnet-cifar10.LICENSE"} <= files
    assert sum(path.stat().st_size for path in DATA.iterdir()) < 5 << 20


@pytest.mark.slow
def test_the_demo_succeeds_twice_in_one_folder(tmp_path):
    for name in ("mimic-ray-demo", "mimic-ray-demo-2"):
        done = subprocess.run(
            [sys.executable, "-m", "mimic_ray", "demo"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        order = [
            r"^  scan before  suspect, score 0\.\d\d of 1$",
            r"^  purified     \d+ steps on clean images; trigger unknown$",
            r"^  scan after   (no evidence, score 0\.\d\d|cannot tell(, score 0\.\d\d)?)( of 1)?$",
            r"^ +\d+ of \d+ openings closed, \d+ left$",
            r"^  ok  attacked ASR",
        ]
        found = [re.search(line, done.stdout, re.MULTILINE) for line in order]
        assert all(found), done.stdout
        assert found == sorted(found, key=lambda line: line.start())
        assert (tmp_path / name / "purified" / "README.md").exists()
        assert (tmp_path / name / "purified" / "evaluation.png").exists()
