"""Ascent raises the gathering, within the limits of its basis."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from mimic_ray.base.devices import Compute
from mimic_ray.scanning.answers import centred, gathering, moved
from mimic_ray.scanning.ascent import free_patches, noise_starts, pixels
from mimic_ray.scanning.changes import Change, box_mask
from tests.evaluation.suspicion.planted import encoder, images

CPU = Compute("cpu", "fp32", 1)


def planted():
    encode, _ = centred(encoder(20.0).requires_grad_(False), images(), CPU)
    return encode


def test_a_free_patch_finds_the_planted_square():
    encode = planted()
    (found,) = free_patches(encode, images(16), 0, edge=8, positions=[(4, 20)], steps=12)
    assert gathering(moved(encode, images()[32:], [found])).item() > 0.8
    inside = box_mask(4, 20, 8, 32).bool().expand_as(found.canvas)
    assert (found.canvas[~inside] == 0).all()
    assert found.canvas.min() >= 0
    assert found.canvas.max() <= 1
    # The planted trigger is a red square of 6 pixels, which the search was not told.
    assert F.avg_pool2d(found.canvas[:1], 6, stride=1).max() > 0.9


def test_pixels_gather_more_after_ascent_and_stay_faint():
    encode = planted()
    starts = noise_starts(0, 2, 0.1, 32)
    flat = torch.zeros(1, 32, 32)
    before = gathering(moved(encode, images(), [Change("", "", flat, c) for c in starts]))
    found = pixels(encode, images(16), starts, size=0.1, steps=8)
    after = gathering(moved(encode, images(), found))
    assert (after > before + 0.05).all()
    assert all(change.canvas.abs().max() <= 0.1 + 1e-6 for change in found)


def test_the_same_seed_gives_the_same_changes():
    encode = planted()
    first, second = (
        free_patches(encode, images(8), seed=3, edge=5, positions=[(0, 0), (9, 9)], steps=2)
        for _ in range(2)
    )
    assert all(torch.equal(a.canvas, b.canvas) for a, b in zip(first, second, strict=True))
