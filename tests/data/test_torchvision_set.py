from __future__ import annotations

import numpy as np
import pytest

from mimic_ray.base.errors import DataError, MissingDataError, UnknownNameError, UsageError
from mimic_ray.data import torchvision_set
from mimic_ray.data.decode import decode
from mimic_ray.data.image_source import open_images


def test_a_set_on_disk_gives_images_labels_and_classes(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 96, 96), dtype=np.uint8)
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    (folder / "test_X.bin").write_bytes(images.transpose(0, 1, 3, 2).tobytes())
    (folder / "test_y.bin").write_bytes(bytes([1, 3, 2, 1]))
    (folder / "class_names.txt").write_text("airplane\nbird\ncar\n")
    with pytest.MonkeyPatch.context() as patch:
        # torchvision compares with the checksums of the official files.
        patch.setattr("torchvision.datasets.STL10._check_integrity", lambda self: True)
        source = open_images(f"torchvision:STL10:{tmp_path}:test")
    assert np.array_equal(decode(source.read(2)).transpose(2, 0, 1), images[2])
    assert source.labels == [0, 2, 1, 0]
    assert source.classes == ["airplane", "bird", "car"]


def test_unknown_and_missing_sets_are_refused(tmp_path):
    with pytest.raises(UnknownNameError, match="CIFAR10"):
        open_images(f"torchvision:CIFAR1O:{tmp_path}")
    with pytest.raises(DataError, match="found no CIFAR10"):
        open_images(f"torchvision:CIFAR10:{tmp_path}")
    with pytest.raises(MissingDataError, match="none does not exist"):
        open_images(f"torchvision:CIFAR10:{tmp_path}/none")
    with pytest.raises(UsageError, match="train, test"):
        open_images(f"torchvision:CIFAR10:{tmp_path}:validation")
    assert set(torchvision_set._KINDS) == {"CIFAR10", "CIFAR100", "STL10", "SVHN"}
