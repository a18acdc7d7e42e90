from __future__ import annotations

import pytest
from PIL import Image

from mimic_ray.report import style

LONG = "my_own_defences/with_a_long_name.py:a_defence_with_a_name_that_is_long"


def test_title_and_legend_add_to_the_height_and_the_axes_keep_theirs(tmp_path):
    def drawn(*parts):
        drawing, axes = style.figure(3.4, 2)
        points = axes.scatter([1], [2], label="one")
        if "title" in parts:
            style.title(axes, "Title", "many words that say how the figure is to be read " * 4)
        if "legend" in parts:
            style.legend(drawing, [points])
        style.save(drawing, tmp_path / "plot.png")
        return drawing, axes.get_window_extent()

    plain, before = drawn()
    full, after = drawn("title", "legend")
    assert full.get_figheight() > plain.get_figheight() + 0.5
    assert after.height == pytest.approx(before.height, abs=3)
    assert after.width == pytest.approx(before.width, abs=3)
    with Image.open(tmp_path / "plot.png") as image:
        assert image.size[0] == round(3.4 * style.DPI)
        image.load()
    assert [path.name for path in tmp_path.iterdir()] == ["plot.png"]
    assert full.texts[0].get_text() == "Title"
    assert [text.get_text() for text in full.legends[0].get_texts()] == ["one"]


@pytest.mark.parametrize("width", [20, 60, 200])
def test_a_folded_text_has_every_letter_and_no_line_is_too_wide(width):
    lines = style.folded(f"a name: {LONG}", width)
    assert "".join(lines).replace(" ", "") == f"aname:{LONG}"
    assert max(style._width(line, 8, False) for line in lines) <= width


def test_text_is_broken_at_spaces_first_and_then_between_the_parts_of_a_name():
    assert style.folded("from 1.00 to 1.00", 60) == ["from 1.00 to", "1.00"]
    lines = style.folded(LONG, 100)
    assert all(line[-1] in "/_.:" for line in lines[:-1])


def test_a_name_with_dollar_signs_is_no_formula():
    assert style.folded("$\\frac$", 100) == ["\\$\\frac\\$"]
    assert style.wrapped("", 10) == " "
