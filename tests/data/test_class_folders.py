import pytest

from mimic_ray.base.errors import DataError
from mimic_ray.data.class_folders import class_folders, require_one_split


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["dog/1", "cat/1", "cat/x/2"], ([1, 0, 0], ["cat", "dog"])),
        (["a/train/cat/1", "a/train/dog/2"], ([0, 1], ["cat", "dog"])),  # one more on top
        (["ab/1", "ac/1"], ([0, 1], ["ab", "ac"])),
        (["cat/1", "2"], (None, None)),
        (["cat/1", "cat/2"], (None, None)),
        (["1", "2"], (None, None)),
    ],
)
def test_the_first_folder_that_differs_is_the_class(keys, expected):
    assert class_folders(keys) == expected


def test_images_of_two_splits_are_refused_below_folders_that_all_share():
    with pytest.raises(DataError, match=r"train \(2 images\) and val \(1 image\).*set/a/train or"):
        require_one_split("set", ["a/train/cat/1", "a/train/dog/2", "a/val/cat/3"])


def test_a_class_can_be_called_train():
    require_one_split("set", ["bus/1", "train/2", "truck/3"])
    require_one_split("set", ["train/cat/1", "train/dog/2"])
