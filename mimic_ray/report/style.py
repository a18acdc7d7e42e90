"""Style of all plots: colours, axes, titles, files.

Figures are made without pyplot, so no global state changes and no window opens. matplotlib is
imported inside the functions because it takes a second.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mimic_ray.base import files

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Distinguishable for most colour-blind readers (Okabe and Ito 2008).
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#9AA0A6"
INK = "#202124"

_TITLE_SIZE, _DETAIL_SIZE = 12, 9
# Points left of the axes, for the labels of the y axis.
_LEFT_MARGIN = 60


def figure(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure with one pair of axes; sizes in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(width, height), dpi=144, layout="constrained", facecolor="white")
    FigureCanvasAgg(drawing)
    axes = drawing.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(colors=INK, labelsize=9, length=0)
    axes.grid(axis="y", color="#E8EAED", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    return drawing, axes


def title(axes: Axes, words: str, detail: str) -> None:
    """A title above the axes and the detail below it, both wrapped to the width of the figure."""
    above = _wrapped(axes, words, _TITLE_SIZE, bold=True)
    below = _wrapped(axes, detail, _DETAIL_SIZE) if detail else []
    pad = 10 + 12 * len(below)
    axes.set_title(
        "\n".join(above), loc="left", fontsize=_TITLE_SIZE, fontweight="bold", color=INK, pad=pad
    )
    # In points, because an offset relative to the height would overlap the title in tall plots.
    text = axes.annotate(
        "\n".join(below),
        (0, 1),
        (0, 7),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=_DETAIL_SIZE,
        color="#5F6368",
    )
    # A text wider than the axes would otherwise narrow them.
    text.set_in_layout(False)


def _wrapped(axes: Axes, words: str, size: float, *, bold: bool = False) -> list[str]:
    """Lines that are at most as wide as the figure less its left margin."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size, weight="bold" if bold else "normal")
    figure_points = 72 * axes.get_figure().get_size_inches()[0]  # type: ignore[union-attr]

    def fits(line: str) -> bool:
        # In points; the outlines of the letters would take ten times as long.
        width, _, _ = text_to_path.get_text_width_height_descent(line, font, ismath=False)
        return bool(width <= figure_points - _LEFT_MARGIN)

    lines: list[str] = []
    for word in words.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and fits(longer):
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def legend(drawing: Figure, handles: Sequence[object]) -> None:
    """A legend in one line below the axes."""
    drawing.legend(
        handles=list(handles),
        loc="outside lower center",
        ncols=len(handles),
        frameon=False,
        fontsize=9,
    )


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
