"""What purify, compare and tune look at before any work."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from mimic_ray.base.errors import CheckpointError, DataError
from mimic_ray.data.image_source import open_images
from mimic_ray.encoders.encoder_registry import build
from mimic_ray.workflows.clean_set import check_clean_set


def images(folder, pixels):
    """uint8 [N, H, W, 3] as files."""
    folder.mkdir()
    for number, each in enumerate(pixels):
        Image.fromarray(each).save(folder / f"{number:03}.png")
    return open_images(folder)


NOISE = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def suspect():
    torch.manual_seed(0)
    return build("tiny_resnet")


def test_usual_images_pass_without_a_note_and_change_nothing(suspect, tmp_path, caplog):
    before = {k: v.clone() for k, v in suspect.state_dict().items()}
    suspect.train()
    check_clean_set(images(tmp_path / "set", NOISE), suspect)
    assert suspect.training
    assert all(torch.equal(v, before[k]) for k, v in suspect.state_dict().items())
    assert caplog.messages == []


def test_images_of_another_size_are_noted_once(suspect, tmp_path, caplog):
    check_clean_set(images(tmp_path / "set", NOISE.repeat(4, 1).repeat(4, 2)), suspect)
    assert len(caplog.messages) == 1
    assert "reduced from 128 x 128 pixels (median) to 32 x 32" in caplog.text


def test_images_of_one_colour_or_all_equal_are_refused(suspect, tmp_path):
    flat = np.broadcast_to(NOISE[:, :1, :1], NOISE.shape)
    with pytest.raises(DataError, match="has a single colour"):
        check_clean_set(images(tmp_path / "flat", flat), suspect)
    with pytest.raises(DataError, match="are all equal"):
        check_clean_set(images(tmp_path / "equal", NOISE[:1].repeat(12, 0)), suspect)


def test_a_suspect_that_answers_nothing_is_refused(suspect, tmp_path):
    with torch.no_grad():
        for parameter in suspect.parameters():
            parameter.zero_()
    with pytest.raises(CheckpointError, match="same feature, so there is nothing to purify"):
        check_clean_set(images(tmp_path / "set", NOISE), suspect)
