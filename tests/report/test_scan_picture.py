"""The picture of a scan: it is drawn, and the change itself can be seen."""

from __future__ import annotations

import torch
from PIL import Image

from mimic_ray.report.scan_picture import draw_scan, shown_change
from tests.report.scan_example import images, openings


def size(path):
    with Image.open(path) as picture:
        return picture.size


def test_a_picture_has_a_row_for_each_opening(tmp_path):
    for count in (1, 2):
        draw_scan(openings()[:count], images(), tmp_path / f"{count}.png")
    one, two = (size(tmp_path / f"{count}.png") for count in (1, 2))
    assert one[0] == two[0]
    assert two[1] > 1.5 * one[1]


def test_a_pasted_square_is_shown_on_grey_and_a_wave_with_full_contrast():
    square, faint = (shown_change(opening) for opening in openings())
    assert torch.equal(square[:, 2:6, 3:7], torch.ones(3, 4, 4))
    assert (square[:, 8:] == 0.5).all()
    assert torch.isclose((faint - 0.5).abs().max(), torch.tensor(0.5), atol=1e-4)
