import pytest

from mimic_ray.base.errors import DataError
from mimic_ray.data.splits import require_one_kind, require_one_split


@pytest.mark.parametrize(
    ("names", "patterns"),
    [
        (["train-00.tar", "train-10.tar", "val-0.tar"], ['"d/train-*.tar"', '"d/val-0.tar"']),
        (["a_train0.parquet", "a_test0.parquet"], ["1 file of train", "1 file of test"]),
        (["cc3m-train-00.tar", "cc3m-train-10.tar", "cc3m-val-0.tar"], ['"d/cc3m-train-*.tar"']),
        (["cc3m-validation-0.tar", "cc3m-training-0.tar"], ["of val", "of train"]),
    ],
)
def test_two_splits_are_refused_with_a_pattern_for_each(names, patterns):
    with pytest.raises(DataError) as caught:
        require_one_split("d", names, "file")
    assert all(pattern in caught.value.message for pattern in patterns)


def test_folders_of_splits_are_recognised_and_classes_are_not():
    for train, test in (("train2017", "val2017"), ("Final_Training", "Final_Test")):
        with pytest.raises(DataError, match=f"{train} .1 image. and {test}"):
            require_one_kind("d", {train: 1, test: 2})
    require_one_kind("d", {"train": 1, "test_tube": 1, "model train": 1})


def test_masks_beside_photographs_are_refused_and_classes_are_not():
    with pytest.raises(DataError, match=r"annotations \(2 images\) and images .*d/images"):
        require_one_kind("d", {"annotations": 2, "images": 2, "readme": 1})
    require_one_kind("d", {"with_mask": 1, "without_mask": 1})
    require_one_kind("d", {"labels": 1, "barcodes": 1})


def test_other_names_are_one_set():
    require_one_split("d", ["train-0.tar", "train-1.tar", "extra.tar"], "tar")
    require_one_split("d", ["latest-0.tar", "trainer-0.tar", "valley.tar"], "tar")
