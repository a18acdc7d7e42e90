"""Style of all figures: sizes for the column of a paper, colours, titles, legends, files.

A figure is one column (3.4 inches) or two columns (7.0 inches) wide, with text of 8 points or more
at that size. Text that is wider than its space is wrapped, never cut: titles and legends add to the
height of a figure, so that they take nothing from its axes.

Figures are made without pyplot, so no global state changes and no window opens. matplotlib is
imported inside the functions because it takes a second.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mimic_ray.base import files
from mimic_ray.base.text import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Distinguishable for most colour-blind readers (Okabe and Ito 2008), without their yellow, which is
# too light on white.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#9AA0A6"
COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", "#E69F00")
INK, SOFT, LINES = "#202124", "#5F6368", "#E8EAED"

ONE_COLUMN, TWO_COLUMNS = 3.4, 7.0  # inches
DPI = 200
POINTS = 8
_TITLE_POINTS, _LINE = 9, 1.3  # size of titles; height of a line relative to its size
_MARGIN = 5  # points between text and the edge of the figure


def figure(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure with one pair of axes; sizes in inches, without title and legend."""
    drawing = empty_figure(width, height)
    drawing.set_layout_engine("constrained", w_pad=_MARGIN / 72, h_pad=_MARGIN / 72)
    axes = drawing.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(colors=INK, labelsize=POINTS, length=0)
    axes.grid(axis="y", color=LINES, linewidth=0.8)
    axes.set_axisbelow(True)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set(color=INK, fontsize=POINTS)
    return drawing, axes


def empty_figure(width: float, height: float) -> Figure:
    """A white figure; sizes in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(drawing)
    return drawing


def title(axes: Axes, words: str, detail: str = "") -> None:
    """A title at the top of the figure and the detail below it; the axes keep their height."""
    drawing: Any = axes.get_figure()
    width, height = drawing.get_size_inches()
    texts = [
        (folded(words, 72 * width - 2 * _MARGIN, _TITLE_POINTS, bold=True), _TITLE_POINTS, INK),
        (folded(detail, 72 * width - 2 * _MARGIN), POINTS, SOFT),
    ]
    block = _MARGIN + sum(_LINE * size * len(lines) for lines, size, _ in texts) + _MARGIN
    whole = 72 * height + block
    drawing.set_size_inches(width, whole / 72)
    top = whole - _MARGIN
    for lines, size, colour in texts:
        for line in lines:
            drawing.text(
                _MARGIN / (72 * width), top / whole, line, fontsize=size, color=colour, va="top",
                fontweight="bold" if size == _TITLE_POINTS else "normal",
            )  # fmt: skip
            top -= _LINE * size
    drawing.get_layout_engine().set(rect=(0, 0, 1, 1 - block / whole))


def folded(text: str, width: float, size: float = POINTS, *, bold: bool = False) -> list[str]:
    """Lines that are at most `width` points wide, with every letter of the text.

    It is broken at spaces. A word that is wider than a line is broken after the signs that join the
    parts of a name, or anywhere.
    """
    lines: list[str] = []

    def fits(line: str) -> bool:
        return _width(line, size, bold) <= width

    for word in plain(text, 2000).split():
        if lines and fits(f"{lines[-1]} {word}"):
            lines[-1] += f" {word}"
        elif fits(word):
            lines.append(word)
        else:
            # `my_`, `file.`, `py:`, `name`; then letter by letter.
            parts = re.findall(r"[^/_.:=,;+-]+[/_.:=,;+-]*|[/_.:=,;+-]+", word)
            pieces = [piece for part in parts for piece in ([part] if fits(part) else part)]
            lines.append(pieces[0])
            for piece in pieces[1:]:
                if fits(lines[-1] + piece):
                    lines[-1] += piece
                else:
                    lines.append(piece)
    # A dollar sign would begin a formula.
    return [line.replace("$", r"\$") for line in lines]


def wrapped(text: str, width: float) -> str:
    """The lines of `folded` as one text, at least a space: an empty label would have no height."""
    return "\n".join(folded(text, width)) or " "


def _width(line: str, size: float, bold: bool) -> float:
    """In points; the outlines of the letters would take ten times as long."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size, weight="bold" if bold else "normal")
    width, _, _ = text_to_path.get_text_width_height_descent(line, font, ismath=False)
    return float(width)


def legend(drawing: Figure, handles: Sequence[Any]) -> None:
    """A legend below the axes, in as many columns as fit; the axes keep their height."""
    width = 72 * drawing.get_size_inches()[0]
    labels = [str(handle.get_label()) for handle in handles]
    key = 4.5 * POINTS  # the line or patch before a label, and the gap to the next column
    widest = max(_width(label, POINTS, False) for label in labels) + key
    columns = max(1, min(len(handles), 4, int((width - 2 * _MARGIN) / widest)))
    if columns == 1 < len(handles):
        columns = 2  # long labels are wrapped instead
    space = (width - 2 * _MARGIN) / columns - key
    made = drawing.legend(
        handles=list(handles),
        labels=[wrapped(label, space) for label in labels],
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize=POINTS,
        handlelength=1.6,
        columnspacing=1.2,
    )
    _add_height_below(drawing, made)


def _add_height_below(drawing: Figure, made: Any) -> None:
    """Makes the figure as much higher as the legend is, and keeps the space of the title."""
    drawn = made.get_window_extent(drawing.canvas.get_renderer())  # type: ignore[attr-defined]
    # The layout has a margin on both sides of the legend.
    added = drawn.height / drawing.dpi + 2 * _MARGIN / 72
    width, height = drawing.get_size_inches()
    engine: Any = drawing.get_layout_engine()
    left, bottom, across, share = engine.get()["rect"]
    above = (1 - share) * height
    drawing.set_size_inches(width, height + added)
    engine.set(rect=(left, bottom, across, 1 - above / (height + added)))
    for text in drawing.texts:
        x, y = text.get_position()
        text.set_position((x, (y * height + added) / (height + added)))


def save(drawing: Figure, path: Path) -> None:
    """Writes a PNG, PDF or SVG file, by its ending, atomically."""
    from matplotlib import rc_context

    buffer = io.BytesIO()
    # Text stays text: it can be searched, and edited for a paper. Equal figures give equal files.
    with rc_context({"svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": "mimic-ray"}):
        facts = {"png": None, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
        kind = path.suffix[1:]
        drawing.savefig(buffer, format=kind, metadata=facts[kind])
    files.write_bytes(path, buffer.getvalue())


def save_as(drawing: Figure, folder: Path, name: str) -> list[str]:
    """Writes NAME.png, NAME.pdf and NAME.svg into `folder`, and returns their names."""
    names = [f"{name}.{kind}" for kind in ("png", "pdf", "svg")]
    for each in names:
        save(drawing, folder / each)
    return names
