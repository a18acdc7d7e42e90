"""What the trials of a search share."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from mimic_ray.base.errors import DataError
from mimic_ray.execution.shared_inputs import ArrayImages, PlacedImages, split
from tests.cli.toy_images import save_images


def pictures(count):
    return np.random.default_rng(0).integers(0, 256, (count, 3, 8, 8), dtype=np.uint8)


def test_held_out_images_are_never_trained_on_and_all_are_used():
    rows, apart = split(ArrayImages(pictures(100)), 0.4, seed=0, least_train=8)
    assert sorted([*rows.tolist(), *apart.tolist()]) == list(range(100))
    assert len(apart) == 40


@pytest.mark.parametrize(
    ("share", "least", "python", "command"),
    [
        (0.2, 8, "held_out=0.2 of 100 images is 20", "--held-out 0.2 of 100 images"),
        (0.6, 80, "settings=training.batch=N", "--set training.batch=N"),
    ],
)
def test_too_few_images_on_either_side_are_refused(share, least, python, command):
    with pytest.raises(DataError, match="give more images") as refused:
        split(ArrayImages(pictures(100)), share, seed=0, least_train=least)
    assert python in str(refused.value)
    assert command in refused.value.for_command_line()


def test_gathered_images_are_copies():
    pixels = pictures(4)
    images = ArrayImages(pixels)
    images.gather(torch.tensor([2, 0])).zero_()
    assert pixels[2].any()
    assert torch.equal(images.gather(torch.tensor([3])), torch.from_numpy(pixels[3:]))


def test_images_that_each_machine_opens_itself_travel_without_their_pixels(tmp_path, monkeypatch):
    monkeypatch.setenv("MIMIC_RAY_CACHE", str(tmp_path / "cache"))
    folder = save_images(tmp_path / "images", 4, seed=0)
    images = PlacedImages(str(folder), 32, np.array([5, 1]))
    first = images.gather(torch.tensor([0, 1]))
    assert first.shape == (2, 3, 32, 32)
    sent = pickle.dumps(images)
    assert len(sent) < 2000
    assert torch.equal(pickle.loads(sent).gather(torch.tensor([0, 1])), first)
