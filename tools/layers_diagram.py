"""An SVG of the package's layers, made from the import contract in pyproject.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path

_WIDTH, _HEIGHT, _GAP, _ROOM = 640, 34, 12, 660


def layers(pyproject: Path) -> list[list[str]]:
    """The packages of each layer, from top to bottom."""
    contracts = tomllib.loads(pyproject.read_text())["tool"]["importlinter"]["contracts"]
    found = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[name.strip() for name in line.split("|")] for line in found]


def diagram(rows: list[list[str]]) -> str:
    """One row of boxes for each layer, joined by arrows that say "imports"."""
    height = len(rows) * (_HEIGHT + _GAP) - _GAP + 4
    parts = [
        f'<svg viewBox="0 0 {_ROOM} {height}" role="img" aria-label="layers of the package" '
        'style="max-width:100%" font-family="monospace" font-size="14" fill="none" '
        'stroke="currentColor">'
    ]
    for number, row in enumerate(rows):
        top = 2 + number * (_HEIGHT + _GAP)
        width = (_WIDTH - (len(row) - 1) * _GAP) / len(row)
        for column, name in enumerate(row):
            left = 10 + column * (width + _GAP)
            parts += [
                f'<rect x="{left:.0f}" y="{top}" width="{width:.0f}" height="{_HEIGHT}" rx="4"/>',
                f'<text x="{left + width / 2:.0f}" y="{top + 22}" text-anchor="middle" '
                f'fill="currentColor" stroke="none">{name}</text>',
            ]
        if number + 1 < len(rows):
            x, y = 10 + _WIDTH / 2, top + _HEIGHT
            end = y + _GAP - 2
            parts.append(f'<path d="M{x:.0f} {y}V{end}m-4 -4l4 4l4 -4"/>')
    return "\n".join([*parts, "</svg>"])
