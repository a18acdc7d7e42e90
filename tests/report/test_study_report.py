import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from mimic_ray.method.recipe import Recipe
from mimic_ray.report import study_plots
from mimic_ray.report.study_report import purify_command, write_study_report
from mimic_ray.report.style import save
from mimic_ray.search.trial import Trial

STUDY = {
    "encoder": "tiny_resnet",
    "teacher": "suspect <b>.pth",
    "teacher_sha256": "ab" * 32,
    "data": "images",
    "data_fingerprint": "cd" * 32,
    "images": 2000,
    "held_out": 0.2,
    "recipe": Recipe().model_dump(mode="json"),
    "space": {"loss.clone": "uniform(0, 1)"},
    "taps": ["layer1", "layer2"],
    "trials": 4,
    "seconds": 100.0,
    "teacher_forwards": 840,
    "command": "mimic-ray tune",
    "versions": {"torch": "2"},
    "oracle": {},
    "notes": [],
}


def trial(number, **fields):
    settings = {"loss.clone": 0.1 * number, "student.start": "partial" if number % 2 else "teacher"}
    made = Trial(f"{number:012x}", number, "finished", settings)
    return replace(made.with_scores({"fidelity": 0.9, "suspicion": 0.4}), **fields)


MANY = [
    trial(n, base=n == 0).with_scores({"fidelity": 0.9 - n / 50, "suspicion": 0.8 - n / 30})
    for n in range(12)
]
CASES = {
    "many": MANY,
    "one": [trial(0)],
    "equal": [trial(0), trial(1), trial(2)],
    "some failed": [trial(0), trial(1, status="failed", scores={}, error="<x>")],
    "all failed": [trial(0, status="failed", scores={}, error="no")],
    "oracle": [t.with_scores({"acc": 80.0, "asr": 100 * t.score("suspicion")}) for t in MANY],
}


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Callable[[str], Path]:
    """The report of a case by its name, made once; as PNG alone but for one, to take less time."""

    def save_png(drawing, folder, name):
        save(drawing, folder / f"{name}.png")

    @cache
    def made(name: str) -> Path:
        trials = CASES[name]
        chosen = next((t for t in trials if t.status == "finished"), None)
        study = {**STUDY, "oracle": {"trigger": "patch"}} if name == "oracle" else STUDY
        folder = tmp_path_factory.mktemp("report")
        with pytest.MonkeyPatch.context() as patch:
            if name != "many":
                patch.setattr(study_plots, "save_as", save_png)
            return write_study_report(folder, study, trials, chosen, "steps = 1 # <i>")

    return made


@pytest.mark.parametrize("name", CASES)
def test_a_report_and_its_plots_are_written_for_any_trials(report, name):
    page = report(name).read_text()
    names = {"front.png", "parallel.png", "importance.png", "layers.png"}
    assert {path.name for path in report(name).parent.glob("*.png")} >= names
    if name == "many":
        assert {p.stem for p in report(name).parent.glob("*.pdf")} >= {n[:-4] for n in names}
    assert page.count("data:image/png;base64,") == 4 + (name == "oracle")
    assert ("Oracle study" in page) == (name == "oracle")


@pytest.mark.parametrize("name", ["many", "all failed"])
def test_the_front_and_all_trials_are_tables_beside_the_report(report, name):
    folder = report(name).parent
    for table in ("front", "trials"):
        assert {p.suffix for p in folder.glob(f"{table}.*")} >= {".csv", ".tex", ".md"}
    lines = (folder / "trials.csv").read_text().splitlines()
    assert len(lines) == 1 + len(CASES[name])
    assert "loss.clone" in lines[0]


def test_a_report_is_self_contained_and_has_no_scripts(report):
    page = report("many").read_text()
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "<script" not in page


def test_the_command_to_purify_has_the_encoder_that_was_found_and_quotes_paths():
    record = {"encoder": "vit_b16:normalise=half", "teacher": "my file.pth", "data": "images"}
    assert purify_command(record, "best.toml") == (
        "mimic-ray purify --encoder vit_b16:normalise=half --teacher 'my file.pth' --data images "
        "--recipe best.toml --out purified"
    )


def test_untrusted_text_is_escaped(report):
    page = report("some failed").read_text()
    assert "suspect &lt;b&gt;.pth" in page
    assert "&lt;x&gt;" in page
    assert "<x>" not in page


def test_the_report_of_an_oracle_study_compares_suspicion_with_asr(report):
    page = report("oracle").read_text()
    assert "suspicion against ASR, 12 trials: Spearman 1.00 (95 %: 1.00 to 1.00)" in page
