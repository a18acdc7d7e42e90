"""The reference page of the defences, made from their files: source, departures, settings."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator

from mimic_ray.base.member_settings import settings_model
from mimic_ray.defences.defence_registry import DEFENCES, declared_strengths
from tools.recipe_page import row, toml


def page() -> str:
    """An overview, then a section for each defence."""
    lines = ["| name | what it does | strength, from weak to strong |", "|---|---|---|"]
    for name in DEFENCES:
        lines.append(row([f"[`{name}`](#{name})", DEFENCES.description(name), _strengths(name)]))
    for name in DEFENCES:
        lines += ["", f"## {name}", "", _explanation(name), "", *_settings(name)]
    return "\n".join(lines)


def _strengths(name: str) -> str:
    declared = declared_strengths(DEFENCES.member(name))
    if declared is None:
        return ""
    return f"`{declared.setting}` " + ", ".join(f"{value:g}" for value in declared.values)


def _explanation(name: str) -> str:
    """The text of the file: formula, source, departures."""
    text = inspect.getdoc(sys.modules[DEFENCES.member(name).__module__])
    assert text
    for word in ("Source", "Departures", "Departure"):
        text = text.replace(f"{word}: ", f"\n**{word}:** ")
    return text


def _settings(name: str) -> Iterator[str]:
    yield "| setting | default | meaning |"
    yield "|---|---|---|"
    defaults = DEFENCES.settings(name)
    for setting, field in settings_model(DEFENCES.member(name)).model_fields.items():
        yield row([f"`{setting}`", f"`{toml(defaults[setting])}`", field.description or ""])
