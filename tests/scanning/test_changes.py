"""Changes: their form, their positions, and how they act on images."""

from __future__ import annotations

import pytest
import torch

from mimic_ray.data.pixels import dct_basis
from mimic_ray.scanning.changes import WAVE_HEIGHT, apply, box_mask, patch, patches, wave, waves

IMAGES = torch.full((2, 3, 32, 32), 0.5)


def test_a_patch_replaces_the_square_and_nothing_else():
    changed = patch(3, 5, 4, 32, 1.0, "white").to(IMAGES)
    inside = box_mask(3, 5, 4, 32).bool().expand_as(changed)
    assert (changed[inside] == 1).all()
    assert (changed[~inside] == 0.5).all()
    assert inside[0, 0].nonzero().amin(dim=0).tolist() == [3, 5]
    assert int(inside[0, 0].sum()) == 16


def test_a_wave_is_a_cosine_of_the_given_height_and_colour():
    changed = wave(4, 6, 32, 0.1, colour=(1.0, 0.0, 0.5)).to(IMAGES)
    basis = 0.1 * dct_basis(4, 6, 32)
    for channel, share in enumerate((1.0, 0.0, 0.5)):
        assert torch.allclose(changed[0, channel], 0.5 + share * basis)


def test_changed_images_stay_in_range():
    changed = apply(torch.ones(1, 3, 8, 8), torch.zeros(1, 1, 8, 8), torch.ones(1, 3, 8, 8))
    assert changed.max() == 1


@pytest.mark.parametrize("side", [16, 32, 64])
def test_the_grids_are_different_changes_for_any_side(side):
    for made in (waves(side), patches(side)):
        assert len({change.words for change in made}) == len(made)
        assert all(change.canvas.shape == (3, side, side) for change in made)
        assert all(change.mask.shape == (1, side, side) for change in made)
    assert max(change.canvas.abs().max() for change in waves(side)) <= WAVE_HEIGHT
    assert {change.mask.sum().item() for change in patches(side)} == {
        (max(1, round(side * part / 32))) ** 2 for part in (4, 7, 10)
    }


def test_a_sine_is_as_strong_on_the_grid_as_its_cosine():
    """A sine of p periods shares its frequency with the wave of 2 p half periods."""
    positions = {change.position for change in waves(32)}
    assert {(0, 2 * periods) for periods in range(1, 16)} <= positions
