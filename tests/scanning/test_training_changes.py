"""The openings that a student is trained on: the strongest that the search finds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import CheckpointError, DataError, StoppedError
from mimic_ray.execution.shared_inputs import ArrayImages
from mimic_ray.method.recipe_sections import Openings
from mimic_ray.scanning.training_changes import enough_images, training_changes
from tests.evaluation.suspicion.planted import SIDE, encoder, images

CPU = Compute("cpu", "fp32", 1)
QUICK = Openings(effort="quick", kept=4)


def found(backdoor, count=96, settings=QUICK, seed=0, on_step=lambda done, total: None):
    pixels = (255 * images(count)).round().to(torch.uint8).numpy()
    return training_changes(encoder(backdoor), ArrayImages(pixels), settings, CPU, seed, on_step)


def test_a_planted_square_is_among_the_changes():
    changes = found(40.0)
    assert 1 <= len(changes) <= 4
    assert changes.masks.shape[1:] == (1, SIDE, SIDE)
    assert changes.canvases.shape[1:] == (3, SIDE, SIDE)
    squares = changes.masks.flatten(1).amax(dim=1) > 0
    pairs = zip(changes.canvases, changes.masks, strict=True)
    reds = [canvas[0][mask[0] > 0].mean().item() for canvas, mask in pairs if mask.any()]
    assert squares.any()
    assert max(reds) > 0.8, "the trigger is a red square"


def test_the_search_repeats_itself():
    first, second = found(40.0), found(40.0)
    assert torch.equal(first.canvases, second.canvases)


@pytest.mark.parametrize("first", [0.0, 0.3, 0.9])
def test_a_stop_request_ends_the_search_at_the_next_batch(first):
    """`first`: the share that is done when the request comes."""
    steps = []

    def on_step(done, total):
        steps.append(done / total)
        if done >= first * total:
            raise StoppedError("stopped")

    with pytest.raises(StoppedError):
        found(40.0, on_step=on_step)
    assert [share >= first for share in steps] == [False] * (len(steps) - 1) + [True]
    assert steps[-1] < first + 0.1


def test_an_encoder_without_strong_openings_still_gives_some():
    assert len(found(0.0)) >= 1


def test_too_few_images_are_no_search():
    assert enough_images(64)
    assert not enough_images(63)
    assert found(40.0, count=63) is None


def test_equal_images_and_equal_features_are_refused():
    equal = np.full((80, 3, SIDE, SIDE), 99, dtype=np.uint8)
    with pytest.raises(DataError, match="single colour"):
        training_changes(encoder(40.0), ArrayImages(equal), QUICK, CPU, 0)
    constant = encoder(40.0)
    for parameter in constant.parameters():
        parameter.data.zero_()
    pixels = (255 * images(80)).round().to(torch.uint8).numpy()
    with pytest.raises(CheckpointError, match="same feature"):
        training_changes(constant, ArrayImages(pixels), QUICK, CPU, 0)


def test_a_recipe_without_openings_is_no_search():
    assert found(40.0, settings=Openings(share=0.0)) is None
