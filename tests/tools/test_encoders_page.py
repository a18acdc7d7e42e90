from __future__ import annotations

from types import SimpleNamespace

from mimic_ray.encoders.encoder_registry import names
from mimic_ray.encoders.normalisation import NORMALISATIONS
from mimic_ray.weight_files.key_styles import STYLES
from mimic_ray.weight_files.publisher_keys import PUBLISHERS
from tests.docs.pages import ROOT
from tools import docs_hooks, encoders_page


def test_every_encoder_has_a_row_with_its_statistics():
    rows = [line for line in encoders_page.encoders().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == names()
    (row,) = (row for row in rows if "`clip_vit_b16`" in row)
    assert "| 86.2 M | 512 | 224 | clip | 12 heads, QuickGELU, class token | OpenAI CLIP" in row


def test_every_layout_of_keys_has_a_row_with_its_encoders():
    lines = encoders_page.key_names().splitlines()[2:]
    rows = dict(line.strip("| ").split(" | ") for line in lines)
    layouts = [*(style.name for style in STYLES), *(publisher.name for publisher in PUBLISHERS)]
    assert rows.keys() >= {*layouts}
    assert rows["Hugging Face CLIP"].split()[0] == "`clip_vit_b32`"


def test_every_normalisation_has_a_row():
    rows = encoders_page.normalisations().splitlines()
    assert "| `cifar10` | 0.4914, 0.4822, 0.4465 | 0.2023, 0.1994, 0.201 |" in rows
    assert len(rows) == 2 + len(NORMALISATIONS)


def test_the_page_has_the_places_of_the_tables():
    page = SimpleNamespace(file=SimpleNamespace(src_uri="reference/encoders.md"))
    text = (ROOT / "docs/reference/encoders.md").read_text()
    filled = docs_hooks.on_page_markdown(text, page)
    assert encoders_page.encoders() in filled
    assert encoders_page.normalisations() in filled
    assert encoders_page.key_names() in filled
    assert "<!--" not in filled
