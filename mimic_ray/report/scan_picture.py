"""The picture of a scan: openings on three images, and where they lead."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from mimic_ray.report.style import INK, POINTS, TWO_COLUMNS, empty_figure, folded, save_as
from mimic_ray.scanning.openings import Images, Opening

_SHOWN = 3  # images, and nearest real images
_TITLES = ("images", "change", "changed images", "real images nearest to where all go")
_COUNTS = (_SHOWN, 1, _SHOWN, _SHOWN)  # images side by side in each column
_EDGE, _GAP, _LINE = 0.05, 0.12, 0.145  # inches: margin, between columns and rows, a line of text


def draw_scan(openings: Sequence[Opening], images: Images, path: Path) -> None:
    """One row for each opening: plain images, the change, changed images, nearest real images.

    As PNG, PDF and SVG, two columns of a paper wide; `path` is that of the PNG file.
    """
    pixels = images.held_out.shape[-1]
    # Widths in sides of an image: with the gaps of `_side_by_side`, all images are equally large.
    widths = [count + (count - 1) * _gap(pixels) / pixels for count in _COUNTS]
    side = (TWO_COLUMNS - 2 * _EDGE - (len(widths) - 1) * _GAP) / sum(widths)
    lefts = [_EDGE + sum(widths[:n]) * side + n * _GAP for n in range(len(widths))]
    inner = 72 * (TWO_COLUMNS - 2 * _EDGE)
    words = [f"{opening.change.words}: gathering {opening.gathering:.2f}" for opening in openings]
    texts = [folded(text, inner) for text in words]
    heads = [folded(text, 72 * (width * side)) for text, width in zip(_TITLES, widths, strict=True)]
    above = _EDGE + _LINE * max(map(len, heads)) + 0.04
    height = above + sum(side + _LINE * len(lines) + _GAP for lines in texts)
    drawing = empty_figure(TWO_COLUMNS, height)

    def write(left: float, top: float, lines: Sequence[str]) -> None:
        for number, line in enumerate(lines):
            drawing.text(
                left / TWO_COLUMNS, 1 - (top + number * _LINE) / height, line, fontsize=POINTS,
                color=INK, va="top",
            )  # fmt: skip

    for left, lines in zip(lefts, heads, strict=True):
        write(left, above - 0.04 - _LINE * len(lines), lines)
    plain, top = images.held_out[:_SHOWN].cpu(), above
    for opening, lines in zip(openings, texts, strict=True):
        strips = (
            plain,
            shown_change(opening)[None],
            opening.change.to(plain),
            images.bank[list(opening.nearest[:_SHOWN])].cpu(),
        )
        for left, width, strip in zip(lefts, widths, strips, strict=True):
            box = (left / TWO_COLUMNS, 1 - (top + side) / height)
            axes = drawing.add_axes((*box, width * side / TWO_COLUMNS, side / height))
            axes.imshow(_side_by_side(strip).permute(1, 2, 0).numpy(), interpolation="nearest")
            axes.set_axis_off()
        write(_EDGE, top + side + 0.02, lines)
        top += side + _LINE * len(lines) + _GAP
    save_as(drawing, path.parent, path.stem)


def shown_change(opening: Opening) -> Tensor:
    """[3, S, S] in [0, 1]: a pasted part on grey, or an added pattern with its contrast raised."""
    change = opening.change
    if change.mask.any():
        return change.to(torch.full_like(change.canvas, 0.5))
    return 0.5 + change.canvas / (2 * change.canvas.abs().max().clamp_min(1e-6))


def _side_by_side(images: Tensor) -> Tensor:
    """[N, 3, S, S] -> [3, S, N S + gaps], with a white gap of a sixteenth of the side."""
    side = images.shape[-1]
    gap = torch.ones(3, side, _gap(side))
    parts = [part for image in images for part in (image, gap)][:-1]
    return torch.cat(parts, dim=2).clamp(0, 1)


def _gap(side: int) -> int:
    """Pixels between images of `side` pixels."""
    return max(1, side // 16)
