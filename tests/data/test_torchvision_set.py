from __future__ import annotations

import numpy as np
import pytest

from mimic_ray.base.errors import (
    BrokenImageError,
    DataError,
    MissingDataError,
    UnknownNameError,
    UsageError,
)
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


def write(root, files):
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def test_the_official_files_of_gtsrb_are_read_as_they_are(tmp_path, encoded):
    """The layout after torchvision's download, which is that of the publisher."""
    images = "gtsrb/GTSRB/Final_Test/Images"
    table = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\n"
    table += "00000.ppm;12;10;1;1;9;9;16\n00001.ppm;12;10;1;1;9;9;1\n"
    write(
        tmp_path,
        {
            f"{images}/00000.ppm": encoded(0, "PPM"),
            f"{images}/00001.ppm": encoded(1, "PPM"),
            "gtsrb/GT-final_test.csv": table.encode(),
            "gtsrb/GTSRB/Training/00002/00000_00000.ppm": encoded(2, "PPM"),
            "gtsrb/GTSRB/Training/00002/GT-00002.csv": b"",
        },
    )
    test = open_images(f"torchvision:GTSRB:{tmp_path}:test")
    assert test.labels == [16, 1]
    assert test.read(1) == encoded(1, "PPM")
    assert decode(test.read(1)).shape == (10, 12, 3)
    # torchvision numbers the folders that are there.
    train = open_images(f"torchvision:GTSRB:{tmp_path}")
    assert (len(train), train.labels) == (1, [0])
    assert len({test.fingerprint, train.fingerprint}) == 2


def test_sets_of_files_and_of_arrays_give_images_and_labels(tmp_path, encoded):
    def idx(kind: int, shape: tuple[int, ...], content: bytes) -> bytes:
        sizes = b"".join(size.to_bytes(4, "big") for size in shape)
        return bytes([0, 0, kind, len(shape)]) + sizes + content

    raw = "MNIST/raw"
    grey = np.random.default_rng(0).integers(0, 256, (2, 28, 28), dtype=np.uint8)
    write(
        tmp_path,
        {
            f"{raw}/{part}-{name}": content
            for part in ("train", "t10k")
            for name, content in {
                "images-idx3-ubyte": idx(8, (2, 28, 28), grey.tobytes()),
                "labels-idx1-ubyte": idx(8, (2,), bytes([7, 3])),
            }.items()
        },
    )
    mnist = open_images(f"torchvision:MNIST:{tmp_path}:test")
    assert mnist.labels == [7, 3]
    assert np.array_equal(decode(mnist.read(1))[..., 2], grey[1])
    write(
        tmp_path, {f"eurosat/2750/{name}/1.jpg": encoded(1, "JPEG") for name in ("Crop", "River")}
    )
    eurosat = open_images(f"torchvision:EuroSAT:{tmp_path}")
    assert (eurosat.labels, eurosat.classes) == ([0, 1], ["Crop", "River"])
    assert eurosat.read(0) == encoded(1, "JPEG")
    (tmp_path / "eurosat/2750/River/1.jpg").unlink()
    with pytest.raises(BrokenImageError, match="cannot be read"):
        eurosat.read(1)
