"""Images to train heads on and to test them on must differ."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from mimic_ray.base.errors import UsageError
from mimic_ray.data.train_and_test import open_train_and_test


@pytest.fixture
def folder(tmp_path):
    """Two classes of two images."""
    for number in range(4):
        path = tmp_path / "set" / f"class{number // 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), 40 * number, np.uint8)).save(path)
    return tmp_path / "set"


@pytest.mark.parametrize("limits", [(None, None), (3, 2), (1, None)])
def test_the_same_images_at_another_place_are_refused_whatever_the_limits(folder, limits):
    copy = shutil.copytree(folder, folder.parent / "copy")
    with pytest.raises(UsageError, match="train= and test= are the same images"):
        open_train_and_test(folder, copy, *limits)


def test_sets_that_differ_in_one_image_are_opened_with_their_limits(folder):
    other = shutil.copytree(folder, folder.parent / "other")
    Image.fromarray(np.full((8, 8, 3), 7, np.uint8)).save(other / "class0" / "0.png")
    train, test = open_train_and_test(folder, other, 2, None)
    assert (len(train), len(test)) == (2, 4)
    assert (train.labels, test.labels) == ([0, 1], [0, 0, 1, 1])


def test_a_set_and_a_part_of_it_have_different_lengths(folder):
    part = shutil.copytree(folder, folder.parent / "part")
    (part / "class0" / "0.png").unlink()
    assert [len(images) for images in open_train_and_test(folder, part, None, None)] == [4, 3]
