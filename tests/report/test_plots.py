from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mimic_ray.evaluation.results import EvaluationRow, Proportion
from mimic_ray.method.mi_profile import Profile, TapScore
from mimic_ray.report import plots
from tests.support import evaluated

ROWS = [{"step": step, "loss": 1 / step, "learning_rate": 0.1} for step in range(1, 101)]


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def share_of(path, colour):
    """The share of pixels with nearly this colour."""
    expected = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
    return (abs(pixels(path) - expected).max(axis=2) < 8).mean()


def row(acc, asr=None):
    return EvaluationRow(
        "some encoder", Proportion.of(acc, 100), None if asr is None else Proportion.of(asr, 100)
    )


def test_the_length_of_a_bar_grows_with_its_value(tmp_path):
    for asr in (10, 90):
        plots.plot_evaluation([row(80, asr)], tmp_path / f"{asr}.png")
    low, high = (share_of(tmp_path / f"{asr}.png", plots.ORANGE) for asr in (10, 90))
    # Both have the swatch of the legend, and the interval covers part of a bar.
    assert 5 < high / low < 10


def test_a_missing_measurement_has_no_bar_and_no_legend(tmp_path):
    plots.plot_evaluation([row(80), row(70)], tmp_path / "plot.png")
    assert share_of(tmp_path / "plot.png", plots.BLUE) > 0.02
    assert share_of(tmp_path / "plot.png", plots.ORANGE) == 0


def test_the_figure_says_what_its_intervals_hold(tmp_path):
    for name, heads in (("one", (800,)), ("three", (800, 810, 820))):
        plots.plot_evaluation([evaluated.row("some encoder", heads)], tmp_path / f"{name}.png")
    one, three = ((tmp_path / f"{name}.svg").read_text() for name in ("one", "three"))
    assert "bars with 95 % intervals over test images" in one
    assert "bars with 95 % intervals over heads and test images" in three


def test_a_tap_below_the_threshold_is_hollow(tmp_path):
    for kept in (True, False):
        taps = (TapScore("a", 5.0, 1.0, kept, 1.0, 1.0),)
        plots.plot_profile(Profile(taps, "teacher", "gaussian", 10), tmp_path / f"{kept}.png")
    full, hollow = (share_of(tmp_path / f"{kept}.png", plots.BLUE) for kept in (True, False))
    assert hollow < full / 5


@pytest.mark.parametrize("count", [1, 3, 100])
def test_runs_of_any_length_can_be_drawn(tmp_path, count):
    plots.plot_losses(ROWS[:count], tmp_path / "loss.png")
    assert pixels(tmp_path / "loss.png").shape[1] > 600


def test_loss_terms_are_only_drawn_if_there_are_several():
    assert plots.loss_terms(ROWS) == ["loss"]
    one = [{"step": 1, "loss": 1.0, "clone": 1.0, "images_per_s": 9.0}]
    assert plots.loss_terms(one) == ["loss"]
    two = [{**one[0], "attention": 0.5}]
    assert plots.loss_terms(two) == ["loss", "clone", "attention"]


def test_the_same_numbers_give_the_same_file(tmp_path):
    for name in ("a.png", "b.png"):
        plots.plot_losses(ROWS, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_drawing_does_not_change_global_state(tmp_path):
    import matplotlib
    from matplotlib import pyplot

    before = dict(matplotlib.rcParams)
    plots.plot_losses(ROWS, tmp_path / "loss.png")
    assert dict(matplotlib.rcParams) == before
    assert pyplot.get_fignums() == []


def test_a_failed_drawing_keeps_the_old_picture(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    plots.plot_losses(ROWS, tmp_path / "loss.png")
    before = (tmp_path / "loss.png").read_bytes()

    def fail(*_, **__):
        raise OSError("no")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="no"):
        plots.plot_losses(ROWS[:50], tmp_path / "loss.png")
    assert (tmp_path / "loss.png").read_bytes() == before
