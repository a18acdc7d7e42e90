"""All figures fit the column of a paper: their width, and text that is legible and never cut."""

from __future__ import annotations

from functools import cache
from itertools import combinations, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mimic_ray.report import style
from tests.report.figure_examples import EXAMPLES, LONG

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.text import Text


@cache
def drawn(name: str) -> tuple[Figure, set[str]]:
    """The figure as it is saved, with its layout, and the endings of its files."""
    saved: list[Figure] = []
    endings: set[str] = set()

    def save(drawing, path):
        saved.append(drawing)
        endings.add(path.suffix)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "save", save)
        EXAMPLES[name](Path("nowhere"))
    saved[0].draw_without_rendering()
    return saved[0], endings


def fixed_texts(drawing: Figure) -> list[Text]:
    """Titles, labels of axes and ticks, legends: all text but that at points of the data."""
    texts = [*drawing.texts, *(text for legend in drawing.legends for text in legend.get_texts())]
    for axes in drawing.axes:
        for axis in (axes.xaxis, axes.yaxis) if axes.axison else ():
            low, high = sorted(axis.get_view_interval())
            texts.append(axis.label)
            texts += [t.label1 for t in axis.get_major_ticks() if low <= t.get_loc() <= high]
    return [text for text in texts if text.get_text().strip()]


def all_texts(drawing: Figure) -> list[Text]:
    return [*fixed_texts(drawing), *(text for axes in drawing.axes for text in axes.texts)]


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_figure_has_the_width_of_one_or_two_columns_and_three_formats(name):
    drawing, endings = drawn(name)
    assert drawing.get_figwidth() in (3.4, 7.0)
    assert endings == {".png", ".pdf", ".svg"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_all_text_has_at_least_8_points_and_lies_inside(name):
    drawing, _ = drawn(name)
    texts = all_texts(drawing)
    assert texts
    whole = drawing.bbox
    for text in texts:
        box = text.get_window_extent()
        assert text.get_fontsize() >= 8, text
        assert whole.x0 <= box.x0 < box.x1 <= whole.x1, text
        assert whole.y0 <= box.y0 < box.y1 <= whole.y1, text


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_title_label_or_legend_covers_another(name):
    for one, other in combinations(fixed_texts(drawn(name)[0]), 2):
        assert (
            not one.get_window_extent().padded(-1).overlaps(other.get_window_extent().padded(-1))
        ), (one, other)


@pytest.mark.parametrize("name", ["comparison", "evaluation", "scan"])
def test_no_name_is_cut(name):
    together = "".join("".join(text.get_text().split()) for text in all_texts(drawn(name)[0]))
    assert LONG in together
    assert "..." not in together


@pytest.mark.parametrize("name", ["loss", "parallel", "profile"])
def test_no_term_setting_or_tap_is_cut(name):
    together = "".join("".join(text.get_text().split()) for text in all_texts(drawn(name)[0]))
    whole = {
        "loss": "my_losses.py:spread_of_all_features",
        "parallel": "myperturbationspy:aratherlongnameprobability",
        "profile": "blocks.11.attention_output",
    }
    assert whole[name] in together


def test_longer_titles_and_legends_take_nothing_from_the_axes():
    plain, oracle = (drawn(name)[0] for name in ("front", "front_of_an_oracle_study"))
    assert len(oracle.texts) > len(plain.texts)
    heights = [drawing.axes[0].get_window_extent().height for drawing in (plain, oracle)]
    assert heights[1] == pytest.approx(heights[0], rel=0.01)
    for name in ("comparison", "front_of_an_oracle_study", "layers", "many_layers", "oracle"):
        drawing, _ = drawn(name)
        assert drawing.axes[0].get_window_extent().height > 1.4 * drawing.dpi, name


def test_terms_of_the_loss_differ_in_colour_and_in_dashes():
    lines = [line for line in drawn("loss")[0].axes[0].get_lines() if line.get_alpha() is None]
    assert len({line.get_color() for line in lines}) == len(lines) == 5
    assert all(one.get_linestyle() != other.get_linestyle() for one, other in pairwise(lines))
