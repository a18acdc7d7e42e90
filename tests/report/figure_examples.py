"""Every figure of the package, drawn from small data with long names.

python -m tests.report.figure_examples FOLDER    draws all of them, to look at
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mimic_ray.evaluation.comparison_results import Comparison, ComparisonRow
from mimic_ray.evaluation.results import EvaluationRow, Proportion
from mimic_ray.method.mi_profile import Profile, TapScore
from mimic_ray.report import plots, study_plots
from mimic_ray.report.comparison_plot import plot_comparison
from mimic_ray.report.scan_picture import draw_scan
from mimic_ray.scanning.openings import Opening
from mimic_ray.search.trial import Trial
from tests.report.scan_example import images, openings

LONG = "my_own_defences/with_a_long_name.py:a_defence_with_a_name_that_is_long"
TAPS = [f"blocks.{number}.attention_output" for number in range(12)]


def _comparison(folder: Path) -> None:
    def row(defence: str, acc: float, asr: float, **more: object) -> ComparisonRow:
        shares = {"acc": Proportion.of(acc, 100), "asr": Proportion.of(asr, 100)}
        return ComparisonRow(defence, **shares, **more)

    reference = replace(row("reference", 90, 1), asr=None, asr_b=Proportion.of(1, 100))
    rows = [row("suspect", 91, 98), reference, row(LONG, 75, 30)]
    rows += [row(f"defence_{number}", 60 + 2 * number, 5 * number) for number in range(13)]
    rows += [
        row("nad", 90 - 10 * number, 90 - 30 * number, value=float(number), chosen=number == 1)
        for number in range(3)
    ]
    plot_comparison(Comparison(tuple(rows)), folder, "comparison")


def _evaluation(folder: Path) -> None:
    floor = Proportion.of(9, 900)
    names = ["suspect", "purified with $a$", LONG]
    rows = [
        EvaluationRow(name, Proportion.of(810, 1000), Proportion.of(asr, 900), floor, "mlp")
        for name, asr in zip(names, (900, 20, 300), strict=True)
    ]
    reference = EvaluationRow("reference", Proportion.of(1000, 1000), None, floor, "mlp")
    plots.plot_evaluation([reference, *rows], folder / "evaluation.png")


def _profile(folder: Path) -> None:
    taps = tuple(
        TapScore(tap, 1.0 + number, (1.0 + number) / 78, number > 2, 1.0, 0.5)
        for number, tap in enumerate(TAPS)
    )
    plots.plot_profile(Profile(taps, "teacher", "gaussian", 1990), folder / "profile.png")


def _losses(folder: Path) -> None:
    terms = ("clone", "attention", "contrastive", "my_losses.py:spread_of_all_features")
    rows = [
        {"step": step, "loss": 4 / step, **{t: n / step for n, t in enumerate(terms, 1)}}
        for step in range(1, 1001)
    ]
    plots.plot_losses(rows, folder / "loss.png")


def _scan(folder: Path) -> None:
    square, wave = openings()
    long = replace(square.change, words=f"{square.change.words} {LONG} {LONG}")
    draw_scan([Opening(long, 0.9, 0.8, 1.0, 0, (3, 1, 2)), wave], images(), folder / "scan.png")


def trials(oracle: bool = False) -> list[Trial]:
    """Twenty trials with as many settings as a search has, one name of them long."""
    made = []
    for number in range(20):
        settings = {
            "training.learning_rate": 1e-4 * 2 ** (number % 9),
            "student.start": ("teacher", "partial", "random")[number % 3],
            "perturbations.my_perturbations.py:a_rather_long_name.probability": number / 20,
            **{f"perturbations.patch{n}.probability": (number * n) % 7 / 7 for n in range(10)},
        }
        scores = {"fidelity": 0.95 - number / 60, "suspicion": 0.9 - (number * 7 % 20) / 25}
        if oracle:
            scores |= {"acc": 80.0, "asr": 100 * scores["suspicion"]}
        status = "stopped" if number % 5 == 4 else "finished"
        kept = tuple(TAPS[: number % 5])
        made.append(Trial(f"{number:012x}", number, status, settings, kept, scores=scores))
    return [replace(made[0], base=True), *made[1:]]


def _front(folder: Path, oracle: bool = False) -> None:
    found = trials(oracle)
    pair = ("suspicion", "fidelity")
    name = f"front{'_of_an_oracle_study' if oracle else ''}.png"
    study_plots.plot_front(folder / name, found, found[3], oracle, pair)


def _parallel(folder: Path) -> None:
    found = trials()
    study_plots.plot_parallel(folder / "parallel.png", found, found[3], True)


EXAMPLES: dict[str, Callable[[Path], None]] = {
    "comparison": _comparison,
    "evaluation": _evaluation,
    "profile": _profile,
    "loss": _losses,
    "scan": _scan,
    "front": _front,
    "front_of_an_oracle_study": lambda folder: _front(folder, oracle=True),
    "parallel": _parallel,
    "importance": lambda f: study_plots.plot_importance(f / "importance.png", trials(), True),
    "importance_of_few": lambda f: study_plots.plot_importance(
        f / "importance_of_few.png", trials()[:2], False
    ),
    "layers": lambda f: study_plots.plot_kept_layers(f / "layers.png", trials(), TAPS[:4], True),
    "many_layers": lambda f: study_plots.plot_kept_layers(
        f / "many_layers.png", trials(), TAPS, True
    ),
    "oracle": lambda f: study_plots.plot_oracle(f / "oracle.png", trials(True), "suspicion"),
}

if __name__ == "__main__":
    for draw in EXAMPLES.values():
        draw(Path(sys.argv[1]))
