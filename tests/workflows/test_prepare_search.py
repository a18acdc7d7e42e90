"""The shared inputs of trials, and sets of images that are too large to send."""

import pickle

import pytest
import torch

from mimic_ray.data.decoded_set import open_pixels
from mimic_ray.data.image_source import open_images
from mimic_ray.execution import shared_inputs
from mimic_ray.execution.shared_inputs import ArrayImages, PlacedImages


@pytest.fixture
def pixels(case, monkeypatch, tmp_path):
    monkeypatch.setenv("MIMIC_RAY_CACHE", str(tmp_path))
    return open_pixels(open_images(case / "images"), 32)


def test_sets_that_are_too_large_to_send_are_opened_where_they_are_used(case, pixels, monkeypatch):
    rows = torch.tensor([3, 7, 8, 20, 31])
    sent = shared_inputs.array_or_placed(pixels, rows, str(case / "images"))
    assert isinstance(sent, ArrayImages)
    monkeypatch.setattr(shared_inputs, "_SENT_BYTES", 0)
    images = shared_inputs.array_or_placed(pixels, rows, str(case / "images"))
    assert isinstance(images, PlacedImages)
    there = pickle.loads(pickle.dumps(images))
    assert len(there) == len(sent) == 5
    assert there.fingerprint == sent.fingerprint
    which = torch.tensor([4, 0, 2])
    assert torch.equal(there.gather(which), sent.gather(which))


def test_such_a_set_is_pickled_without_its_pixels(case, pixels, monkeypatch):
    monkeypatch.setattr(shared_inputs, "_SENT_BYTES", 0)
    images = shared_inputs.array_or_placed(pixels, torch.arange(40), str(case / "images"))
    images.gather(torch.tensor([1]))  # opens the pixels, which must not be pickled
    assert len(pickle.dumps(images)) < 3000
