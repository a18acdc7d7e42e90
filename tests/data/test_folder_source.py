"""Folders as people have them: each is read, or refused with what to type."""

from __future__ import annotations

import pytest

from mimic_ray.base.errors import DataError
from mimic_ray.data.image_source import open_images


def test_images_and_tars_in_one_folder_are_refused_with_both_patterns(
    image_folder, samples, write_tar
):
    write_tar(image_folder / "devkit.tar", samples([99]))
    with pytest.raises(DataError) as caught:
        open_images(image_folder)
    assert "12 images and 1 tar (devkit.tar)" in caught.value.message
    _, images, _, tars, _ = caught.value.message.split('"')
    assert open_images(images).labels == [int(key[:3] == "dog") for key in open_images(images).keys]
    assert len(open_images(images)) == 12
    assert open_images(tars).keys == ["000099"]


def test_a_tar_inside_a_class_folder_is_left_out(image_folder, samples, write_tar):
    write_tar(image_folder / "cat" / "more.tar", samples([99]))
    source = open_images(image_folder)
    assert len(source) == 12
    reason = "an archive, which is not read here: unpack it"
    assert source.left_out[reason].first == "cat/more.tar"


def test_training_and_validation_images_are_not_read_together(tmp_path, image_folder):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "val").symlink_to(image_folder)
    image_folder.rename(tmp_path / "set" / "train")
    (tmp_path / "set" / "val").unlink()
    (tmp_path / "set" / "val").mkdir()
    (tmp_path / "set" / "train" / "dog" / "00.png").rename(tmp_path / "set" / "val" / "00.png")
    with pytest.raises(DataError, match=r"train \(11 images\) and val \(1 image\).*set/train or"):
        open_images(tmp_path / "set")
    assert open_images(tmp_path / "set" / "train").classes == ["cat", "dog"]


def test_one_more_folder_on_top_changes_neither_classes_nor_reading(tmp_path, image_folder):
    top = image_folder.rename(tmp_path / "x").parent
    source = open_images(top)
    assert source.classes == ["cat", "dog"]


def test_shards_one_folder_below_are_read(tmp_path, shards):
    (tmp_path / "set").mkdir()
    shards.rename(tmp_path / "set" / "train")
    assert len(open_images(tmp_path / "set")) == 12
    assert open_images(tmp_path / "set").classes == ["cat", "dog", "owl"]


def test_shards_in_several_folders_are_named(tmp_path, samples, write_tar):
    for name in ("train", "val"):
        (tmp_path / name).mkdir()
        write_tar(tmp_path / name / "0.tar", samples(range(3)))
    with pytest.raises(DataError, match=r"train \(1 tar\) and val \(1 tar\).*/train.*\*/\*\.tar"):
        open_images(tmp_path)
    assert len(open_images(tmp_path / "*/*.tar")) == 6


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("a.tar.bz2", "a.tar.bz2 is a bzip2 archive. Unpack it: tar -xf"),
        ("data-0.tfrecord", "Convert it"),
        ("cifar-10-batches-py", "torchvision:CIFAR10:"),
        ("a.heic", "convert it to PNG or JPEG"),
    ],
)
def test_a_folder_without_images_says_what_to_do(tmp_path, name, advice):
    (tmp_path / name).write_bytes(b"BZh9")
    with pytest.raises(DataError) as caught:
        open_images(tmp_path)
    assert advice in caught.value.message


@pytest.mark.parametrize(
    ("name", "content", "advice"),
    [
        ("blob", b"7z\xbc\xaf\x27\x1c", "7z x"),
        ("a.tar.xz", b"text", "xz archive"),
        ("photo.jpg", b"\xff\xd8\xff", "not a set of images: give a folder"),
    ],
)
def test_a_file_that_is_no_set_says_what_to_do(tmp_path, name, content, advice):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        open_images(tmp_path / name)
    assert advice in caught.value.message


def test_a_repository_in_the_cache_of_hugging_face_is_read_once(tmp_path, encoded):
    for name in ("blobs", "refs", "snapshots/0a1b/data"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "blobs" / "9f86").write_bytes(encoded(1))
    (tmp_path / "snapshots/0a1b/data/1.png").symlink_to(tmp_path / "blobs" / "9f86")
    assert open_images(tmp_path).keys == ["data/1.png"]


def test_patterns_of_images_and_of_folders_are_one_set(image_folder):
    whole = open_images(image_folder)
    assert open_images(image_folder / "*/*.png").fingerprint == whole.fingerprint
    assert open_images(image_folder / "{cat,dog}").labels == whole.labels
    assert open_images(image_folder / "cat/0*.png").keys == [
        key.removeprefix("cat/") for key in whole.keys if key.startswith("cat/0")
    ]
    assert open_images(image_folder.parent / "imag*").keys == whole.keys
    assert open_images(image_folder / "ca*").keys == open_images(image_folder / "cat").keys


def test_a_pattern_of_images_and_tars_is_refused(image_folder, samples, write_tar):
    write_tar(image_folder / "a.tar", samples([99]))
    (image_folder / "a.png").write_bytes((image_folder / "cat" / "01.png").read_bytes())
    with pytest.raises(
        DataError, match=r"1 tar, such as .*a\.tar, and other files, such as .*a\.png"
    ):
        open_images(image_folder / "a*")
