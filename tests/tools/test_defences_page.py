from __future__ import annotations

import re

import pytest

from mimic_ray.defences.defence_registry import DEFENCES
from tools import defences_page


def test_every_defence_has_a_row_with_its_strengths_and_a_section_with_its_settings():
    page = defences_page.page()
    for name in DEFENCES:
        assert re.search(rf"^\| \[`{name}`\]\(#{name}\) \| .+ \| `\w+` [\d.]+", page, re.M), name
        section = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        for setting in DEFENCES.settings(name):
            assert f"| `{setting}` | `" in section


@pytest.mark.parametrize("name", [name for name in DEFENCES if name != "default"])
def test_every_rival_states_its_source_and_its_departures(name):
    section = defences_page.page().partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    assert "**Source:**" in section
    assert "**Departure" in section
