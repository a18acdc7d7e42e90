"""Parts of HTML pages: text from outside cannot become markup."""

from __future__ import annotations

import base64

from mimic_ray.report.html_page import cell, document, inline, table, text


def test_text_is_escaped_everywhere():
    evil = "<script>x</script>"
    for made in (text(evil), cell(evil), table((evil,), [(evil,)]), document(evil, [])):
        assert "<script>" not in made
        assert "&lt;script&gt;" in made


def test_a_table_without_heads_has_no_head_cells():
    assert "<th>" not in table(("", ""), [("a", "b")])
    assert table(("x",), [("a",)]).count("<th>") == 1


def test_a_picture_is_part_of_the_page(tmp_path):
    (tmp_path / "a.png").write_bytes(b"picture")
    head, _, content = inline(tmp_path / "a.png").partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(content) == b"picture"
