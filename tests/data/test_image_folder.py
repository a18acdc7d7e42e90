from __future__ import annotations

import shutil

import pytest

from mimic_ray.base.errors import BrokenImageError
from mimic_ray.data.decode import decode
from mimic_ray.data.image_source import open_images


def test_images_are_sorted_with_classes_and_without_hidden_files(image_folder, encoded):
    source = open_images(image_folder)
    assert source.keys == sorted(source.keys)
    assert len(source) == 12
    assert source.classes == ["cat", "dog"]
    for key, label, content in zip(
        source.keys, source.labels, map(source.read, range(12)), strict=True
    ):
        assert content == encoded(int(key[4:6]))
        assert source.classes[label] == key[:3]


def test_an_image_outside_the_class_folders_means_no_classes(image_folder, encoded):
    (image_folder / "loose.JPG").write_bytes(encoded(1, "JPEG"))
    source = open_images(image_folder)
    assert "loose.JPG" in source.keys
    assert source.labels is None
    assert source.classes is None


def test_an_official_folder_of_gtsrb_has_the_labels_of_its_table(tmp_path, encoded):
    for number in range(3):
        (tmp_path / f"{number:05}.ppm").write_bytes(encoded(number, "PPM"))
    (tmp_path / "GT-final_test.csv").write_text(
        "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\n"
        + "".join(f"{n:05}.ppm;12;10;1;1;9;9;{label}\n" for n, label in enumerate((16, 1, 38)))
    )
    source = open_images(tmp_path)
    assert (source.labels, source.classes) == ([16, 1, 38], None)
    assert decode(source.read(2)).shape == (10, 12, 3)


def test_a_label_can_be_beside_its_image(tmp_path, encoded):
    for number, text in enumerate(("2", "0", "1")):
        (tmp_path / f"{number}.png").write_bytes(encoded(number))
        (tmp_path / f"{number}.cls").write_text(text)
    source = open_images(tmp_path)
    assert source.labels == [2, 0, 1]
    assert source.left_out == {}


def test_an_image_over_the_size_limit_is_broken(image_folder, monkeypatch):
    monkeypatch.setattr("mimic_ray.data.image_folder.IMAGE_LIMIT_BYTES", 100)
    with pytest.raises(BrokenImageError, match="over the limit"):
        open_images(image_folder).read(0)


def test_an_image_that_was_deleted_is_broken(image_folder):
    source = open_images(image_folder)
    shutil.rmtree(image_folder)
    with pytest.raises(BrokenImageError, match="cannot be read"):
        source.read(0)


def test_a_name_that_is_not_utf8_becomes_a_readable_key(tmp_path, encoded):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a\udcff.png").write_bytes(encoded(1))
    source = open_images(tmp_path / "images")
    assert source.keys == ["a\\xff.png"]
    assert source.read(0) == encoded(1)
