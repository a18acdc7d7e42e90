"""The picture of a scan: openings on three images, and where they lead."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import torch
from torch import Tensor

from mimic_ray.report.style import INK, save
from mimic_ray.scanning.openings import Images, Opening

_SHOWN = 3  # images, and nearest real images


def draw_scan(openings: Sequence[Opening], images: Images, path: Path) -> None:
    """One row for each opening: plain images, the change, changed images, nearest real images."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    titles = ("images", "change", "changed images", "real images nearest to where all go")
    widths = (_SHOWN, 1, _SHOWN, _SHOWN)
    drawing = Figure(
        figsize=(10.5, 0.5 + 1.75 * len(openings)), dpi=144, layout="constrained", facecolor="white"
    )
    FigureCanvasAgg(drawing)
    grid = drawing.subplots(
        len(openings), len(widths), squeeze=False, gridspec_kw={"width_ratios": widths}
    )
    plain = images.held_out[:_SHOWN].cpu()
    for row, opening in enumerate(openings):
        strips = (
            plain,
            shown_change(opening)[None],
            opening.change.to(plain),
            images.bank[list(opening.nearest[:_SHOWN])].cpu(),
        )
        for column, strip in enumerate(strips):
            axes = grid[row][column]
            axes.imshow(_side_by_side(strip).permute(1, 2, 0).numpy(), interpolation="nearest")
            axes.set_axis_off()
            if row == 0:
                axes.set_title(titles[column], fontsize=9, color=INK, loc="left")
        grid[row][0].text(
            0,
            -0.08,
            fill(f"{opening.change.words}: gathering {opening.gathering:.2f}", 62),
            transform=grid[row][0].transAxes,
            fontsize=8,
            va="top",
            color=INK,
        )
    save(drawing, path)


def shown_change(opening: Opening) -> Tensor:
    """[3, S, S] in [0, 1]: a pasted part on grey, or an added pattern with its contrast raised."""
    change = opening.change
    if change.mask.any():
        return change.to(torch.full_like(change.canvas, 0.5))
    return 0.5 + change.canvas / (2 * change.canvas.abs().max().clamp_min(1e-6))


def _side_by_side(images: Tensor) -> Tensor:
    """[N, 3, S, S] -> [3, S, N S + gaps], with a white gap of a sixteenth of the side."""
    side = images.shape[-1]
    gap = torch.ones(3, side, max(1, side // 16))
    parts = [part for image in images for part in (image, gap)][:-1]
    return torch.cat(parts, dim=2).clamp(0, 1)
