"""The reference page of the recipe's keys, made from the recipe's model."""

from __future__ import annotations

from typing import Any

from mimic_ray.method.recipe_keys import recipe_keys, section_titles


def page() -> str:
    """A section for each table of the recipe, with a row for each key."""
    keys = list(recipe_keys())
    lines: list[str] = []
    for section, title in section_titles().items():
        lines += [f"## {section}", "", title, ""]
        lines += ["| key | values | unit | default | meaning |", "|---|---|---|---|---|"]
        for key in keys:
            if key.key.partition(".")[0] == section:
                values = f"{key.kind}, {key.bounds}" if key.bounds else key.kind
                default = f"`{toml(key.default)}`"
                lines.append(row([f"`{key.key}`", values, key.unit, default, key.description]))
        lines.append("")
    return "\n".join(lines)


def row(cells: list[str]) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def toml(value: Any) -> str:
    """A value as a TOML file has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple | list):
        return "[" + ", ".join(toml(each) for each in value) + "]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
