"""Parts of HTML pages: text from outside cannot become markup."""

from __future__ import annotations

import base64

from mimic_ray.report import style
from mimic_ray.report.html_page import cell, document, picture, table, text


def test_text_is_escaped_everywhere():
    evil = "<script>x</script>"
    for made in (text(evil), cell(evil), table((evil,), [(evil,)]), document(evil, [])):
        assert "<script>" not in made
        assert "&lt;script&gt;" in made


def test_a_table_without_heads_has_no_head_cells():
    assert "<th>" not in table(("", ""), [("a", "b")])
    assert table(("x",), [("a",)]).count("<th>") == 1


def test_a_picture_is_part_of_the_page_as_wide_as_its_text_needs(tmp_path):
    drawing, _ = style.figure(style.ONE_COLUMN, 1)
    style.save(drawing, tmp_path / "a.png")
    made = picture(tmp_path / "a.png", "a <b>")
    assert made.startswith('<img alt="a &lt;b&gt;" width=408 src="data:image/png;base64,')
    content = made.partition("base64,")[2].partition('"')[0]
    assert base64.b64decode(content) == (tmp_path / "a.png").read_bytes()
