"""Images of a scan: what is refused, and how they are divided."""

from __future__ import annotations

import pytest
import torch

from mimic_ray.base.errors import DataError
from mimic_ray.scanning.scan_images import LEAST, MOST, divided, require_images


@pytest.mark.parametrize("number", [LEAST, 65, 100, 200, MOST])
def test_the_parts_are_disjoint_and_complete(number):
    values = torch.arange(number) / number
    noise = torch.rand(number, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    pictures = 0.5 * values.view(-1, 1, 1, 1) + 0.5 * noise
    parts, bank_rows = divided(pictures, "images")
    sizes = [len(part) for part in (parts.bank, parts.search, parts.held_out)]
    assert sum(sizes) == number
    assert min(sizes) >= LEAST // 4
    assert torch.equal(pictures[bank_rows], parts.bank)
    together = torch.cat([parts.bank, parts.search, parts.held_out]).flatten(1)
    assert len(together.unique(dim=0)) == number


def test_sorted_images_are_spread_over_all_parts():
    labels = torch.arange(200) // 20
    noise = torch.rand(200, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    pictures = labels.view(-1, 1, 1, 1) / 10 + 0.05 * noise
    parts, _ = divided(pictures, "images")
    for part in (parts.search, parts.held_out):
        assert len({int(10 * value) for value in part.mean(dim=(1, 2, 3)).tolist()}) >= 8


def test_too_few_images_are_refused_with_their_number():
    with pytest.raises(DataError, match=r"at least 64 clean images.* photos has 63 images"):
        require_images(63, "photos")


def test_images_of_one_colour_each_are_refused():
    flat = torch.rand(80, 3, 1, 1).expand(80, 3, 8, 8)
    with pytest.raises(DataError, match="Each image of photos has a single colour"):
        divided(flat, "photos")


def test_equal_images_are_refused():
    same = torch.rand(1, 3, 8, 8).expand(80, 3, 8, 8)
    with pytest.raises(DataError, match="are all equal"):
        divided(same, "photos")
