"""Found changes reach the student in variants of their own kind, one for each image by its key."""

from __future__ import annotations

import pytest
import torch

from mimic_ray.base import seeds
from mimic_ray.method.found_changes import FoundChanges
from mimic_ray.method.recipe import parse_recipe
from mimic_ray.method.student_teacher_views import drawn_perturbations

SIDE, EDGE, TOP, LEFT = 16, 5, 2, 9
COUNT = 400


def square(value=1.0):
    mask = torch.zeros(1, 1, SIDE, SIDE)
    mask[..., TOP : TOP + EDGE, LEFT : LEFT + EDGE] = 1
    return FoundChanges(mask, (value * mask).expand(1, 3, SIDE, SIDE))


def pattern(height=0.1):
    rows = torch.where(torch.arange(SIDE) % 4 < 2, height, -height)
    canvas = rows[:, None].expand(1, 3, SIDE, SIDE).contiguous()
    return FoundChanges(torch.zeros(1, 1, SIDE, SIDE), canvas)


def keys(count=COUNT):
    return seeds.keys(3, torch.arange(count))


def changed(found, value=0.0, count=COUNT, strength=1.0):
    images = torch.full((count, 3, SIDE, SIDE), value)
    return found(images, keys(count), torch.empty(0), strength)


def test_a_square_stays_whole_and_takes_every_place():
    covered = changed(square())[:, 0] > 0
    assert (covered.flatten(1).sum(dim=1) == EDGE**2).all()
    rows, columns = covered.any(dim=2), covered.any(dim=1)
    assert (rows.sum(dim=1) == EDGE).all()
    tops, lefts = rows.int().argmax(dim=1), columns.int().argmax(dim=1)
    assert {*tops.tolist()} == {*lefts.tolist()} == {*range(SIDE - EDGE + 1)}
    as_found = ((tops == TOP) & (lefts == LEFT)).float().mean().item()
    assert as_found == pytest.approx(0.4, abs=0.08)


def test_half_of_the_squares_are_opaque_and_the_others_at_least_four_tenths():
    opacity = changed(square())[:, 0].flatten(1).amax(dim=1)
    assert (opacity == 1).float().mean().item() == pytest.approx(0.5, abs=0.08)
    assert 0.4 <= opacity.min() < 0.5
    under = changed(square(value=0.0), value=0.5)
    assert torch.allclose(under.flatten(1).amin(dim=1), 0.5 * (1 - opacity), atol=1e-6)


def test_a_pattern_has_either_sign_and_half_to_twice_its_height():
    moved = changed(pattern(), value=0.5) - 0.5
    heights = moved.flatten(1).abs().amax(dim=1) / 0.1
    assert 0.5 <= heights.min() < 0.6
    assert 1.9 < heights.max() <= 2
    assert 0.4 < (moved[:, 0, 0, 0] > 0).float().mean() < 0.6


def test_a_pattern_is_shifted_and_for_three_of_five_images_enlarged_or_shrunk():
    rows = changed(pattern(), value=0.5)[:, :, :, 0] - 0.5
    strongest = rows.abs().amax(dim=2).argmax(dim=1)
    rows = rows[torch.arange(COUNT), strongest].sign()
    shape = pattern().canvases[0, 0, :, 0].sign()
    kept = [any(torch.equal(row, shape.roll(shift)) for shift in range(4)) for row in rows]
    # A zoom of almost 1 is not seen in the signs.
    assert 0.35 < torch.tensor(kept).float().mean() < 0.6


def test_a_pattern_keeps_its_colour_or_is_grey_or_has_another():
    red = pattern()
    red = FoundChanges(red.masks, red.canvases * torch.tensor([1.0, 0.5, 0.0]).view(1, 3, 1, 1))
    moved = (changed(red, value=0.5) - 0.5).flatten(2).abs().amax(dim=2)
    share = moved / moved.amax(dim=1, keepdim=True)
    same = torch.isclose(share, torch.tensor([1.0, 0.5, 0.0]), atol=1e-3).all(dim=1)
    grey = torch.isclose(share, torch.ones(3), atol=1e-3).all(dim=1)
    assert same.float().mean().item() == pytest.approx(1 / 3, abs=0.08)
    assert grey.float().mean().item() == pytest.approx(1 / 3, abs=0.08)


def test_an_image_depends_on_its_own_key_and_nothing_changes_at_strength_0():
    both = FoundChanges(
        torch.cat([square().masks, pattern().masks]),
        torch.cat([square().canvases, pattern().canvases]),
    )
    whole = changed(both, value=0.3)
    images = torch.full((1, 3, SIDE, SIDE), 0.3)
    assert torch.equal(both(images, keys()[7:8], torch.empty(0)), whole[7:8])
    kinds = (whole != 0.3).flatten(2).float().mean(dim=(1, 2)) > 0.5
    assert 0.4 < kinds.float().mean() < 0.6, "each of two changes for about half of the images"
    assert torch.allclose(changed(both, value=0.3, strength=0.0), torch.tensor(0.3))


def test_the_state_gives_the_same_changes():
    found = square()
    again = FoundChanges.from_state({k: v.clone() for k, v in found.state().items()})
    assert torch.equal(changed(again), changed(found))


def test_a_recipe_gives_openings_their_share_and_without_a_scan_there_are_none():
    drawn = drawn_perturbations(parse_recipe({"openings": {"share": 0.3}}), square())
    assert (drawn[-1].name, drawn[-1].probability) == ("openings", 0.3)
    assert "openings" not in [d.name for d in drawn_perturbations(parse_recipe({}))]
    off = parse_recipe({"openings": {"share": 0.0}})
    assert "openings" not in [d.name for d in drawn_perturbations(off, square())]
