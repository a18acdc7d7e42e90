"""Parts of self-contained HTML pages: the document, tables, escaped text, pictures in the file."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from mimic_ray.base.text import plain
from mimic_ray.report.style import DPI

_PIXELS_PER_INCH = 120  # of a figure on the page, whose own text has 13 to 15 pixels
_STYLE = """
:root { color-scheme: light dark; --ink: #202124; --paper: #fff; --line: #dadce0; --soft: #5f6368 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaed; --paper: #1f2023; --line: #3c4043; --soft: #9aa0a6 } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 64rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
table { border-collapse: collapse; font-size: 13px; display: block; overflow-x: auto }
th, td { text-align: left; padding: .25rem .7rem .25rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top } td.number { text-align: right; font-variant-numeric: tabular-nums }
tr.chosen td { font-weight: 600 } .soft { color: var(--soft) }
img { max-width: 100%; background: #fff; border-radius: 4px; margin: .3rem 0 }
pre { background: color-mix(in srgb, var(--ink) 7%, transparent); padding: .8rem; overflow-x: auto;
  font-size: 12.5px; border-radius: 4px }
.oracle { border: 2px solid #d55e00; padding: .5rem .8rem; border-radius: 4px }
"""


def document(title: str, body: Iterable[str]) -> str:
    """A whole page from the parts of its body, which are HTML."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{text(title)}</title><style>{_STYLE}</style></head>"
        f"<body>{''.join(body)}</body></html>\n"
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of plain texts; without a first line if all heads are empty."""
    head = "".join(f"<th>{text(name)}</th>" for name in heads) if any(heads) else ""
    lines = ("".join(cell(str(each)) for each in row) for row in rows)
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def cell(content: str, kind: str = "") -> str:
    """A cell with escaped text; `kind` is a class of the style."""
    return f"<td{f' class={kind}' if kind else ''}>{text(content)}</td>"


def text(value: object) -> str:
    """Escaped text: file names and errors come from outside."""
    lines = str(value).splitlines() or [""]
    return "\n".join(escape(plain(line, 4000)) for line in lines)


def picture(path: Path, words: str) -> str:
    """The picture of a PNG file within the page, with text as large as that of the page."""
    content = path.read_bytes()
    width = round(int.from_bytes(content[16:20], "big") / DPI * _PIXELS_PER_INCH)
    address = "data:image/png;base64," + base64.b64encode(content).decode()
    return f'<img alt="{text(words)}" width={width} src="{address}">'
