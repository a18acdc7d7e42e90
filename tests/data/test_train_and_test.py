"""Images to train heads on and to test them on must differ."""

from __future__ import annotations

import logging
import shutil

import numpy as np
import pytest
from PIL import Image

from mimic_ray.base.errors import UsageError
from mimic_ray.data.labelled import open_labelled
from mimic_ray.data.train_and_test import count_shared, open_train_and_test


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


def test_test_images_that_are_training_images_too_are_counted_whatever_their_names(folder, caplog):
    test = shutil.copytree(folder, folder.parent / "test")
    Image.fromarray(np.full((8, 8, 3), 7, np.uint8)).save(test / "class0" / "0.png")
    (test / "class1" / "3.png").rename(test / "class1" / "new.png")
    with caplog.at_level(logging.WARNING):
        assert count_shared(open_labelled(folder, 8), open_labelled(test, 8)) == 3
    assert f"3 of the 4 images of {test} are also in {folder}" in caplog.text


def test_disjoint_sets_share_no_image_and_no_warning_is_logged(folder, caplog):
    test = folder.parent / "test"
    for number in range(2):
        (test / f"class{number}").mkdir(parents=True)
        Image.fromarray(np.full((8, 8, 3), 7, np.uint8)).save(test / f"class{number}" / "0.png")
    assert count_shared(open_labelled(folder, 8), open_labelled(test, 8)) == 0
    assert not caplog.records
