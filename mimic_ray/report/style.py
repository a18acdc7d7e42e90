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
    """A title above the axes, with one line of detail below the title."""
    axes.set_title(words, loc="left", fontsize=12, fontweight="bold", color=INK, pad=22)
    # In points, because an offset relative to the height would overlap the title in tall plots.
    axes.annotate(
        detail,
        (0, 1),
        (0, 7),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=9,
        color="#5F6368",
    )


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
    """Writes a PNG file atomically."""
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png")
    files.write_bytes(path, buffer.getvalue())
