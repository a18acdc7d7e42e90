"""Locations of images: folders, tars, patterns, addresses."""

from __future__ import annotations

import os

import pytest

from mimic_ray.base.errors import BrokenImageError, DataError, UsageError
from mimic_ray.data import folder_source, local_shards
from mimic_ray.data.encoded_images import read_many
from mimic_ray.data.image_source import open_announced, open_images
from mimic_ray.data.shard_set import ShardSet


@pytest.mark.parametrize(
    "pattern", ["train-*.tar", "train-{0..1}.tar", "train-{0,1}.tar", "{train-0,train-1}.tar"]
)
def test_a_pattern_selects_the_same_shards_as_their_folder(shards, pattern):
    assert open_images(f"{shards}/{pattern}").fingerprint == open_images(shards).fingerprint


def test_a_list_of_tars_keeps_its_order_and_one_tar_is_a_set(shards):
    both = open_images([shards / "train-1.tar", shards / "train-0.tar"])
    assert both.keys == open_images(shards).keys[6:] + open_images(shards).keys[:6]
    assert len(open_images(shards / "train-1.tar")) == 6


def test_tars_of_several_folders_are_one_set_in_the_order_of_the_list(
    tmp_path, samples, encoded, write_tar
):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    order = ["b/0.tar", "a/0.tar", "b/1.tar"]
    tars = [
        write_tar(tmp_path / name, samples(range(4 * number, 4 * number + 4)))
        for number, name in enumerate(order)
    ]
    source = open_images(tars)
    assert source.keys == [f"{number:06}" for number in range(12)]
    assert source.read_many(range(12)) == [encoded(number) for number in range(12)]


def test_more_tars_than_may_stay_open_can_be_read(shards, encoded, monkeypatch):
    monkeypatch.setattr(folder_source, "_OPEN_TARS", 1)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    source = open_images([shards / "train-0.tar", shards / "train-1.tar"])
    assert source.read(11) == encoded(11)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_folder_opens_a_limited_number_of_its_tars(shards, encoded, monkeypatch):
    monkeypatch.setattr(local_shards, "_MOST_OPEN", 1)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    source = open_images(shards)
    assert source.read(11) == encoded(11)
    assert len(os.listdir("/proc/self/fd")) == before + 1  # noqa: PTH208


@pytest.mark.parametrize("pattern", ["**", "**/*", "*"])
def test_a_pattern_counts_each_image_once(tmp_path, encoded, pattern):
    for number, name in enumerate(("a/1.png", "a/2.png", "b/c/3.png")):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(encoded(number))
    assert len(open_images(tmp_path / "photos" / pattern)) == 3


def test_paths_may_be_absolute_and_relative(tmp_path, encoded, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(encoded(0))
    monkeypatch.chdir(tmp_path)
    assert len(open_images(["a", tmp_path / "b"])) == 2


@pytest.mark.parametrize("name", ["empty", "only text", "missing", "a.txt", "none-*.tar", "pipe"])
def test_a_location_without_images_is_named_in_the_error(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "only text").mkdir()
    (tmp_path / "only text" / "notes.txt").write_text("")
    (tmp_path / "a.txt").write_text("")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match=name.replace("*", r"\*")):
        open_images(tmp_path / name)


def test_what_is_left_out_is_logged_once_for_the_user(image_folder, caplog):
    open_images(image_folder)
    assert caplog.messages == []
    assert len(open_announced(image_folder)) == 12
    assert caplog.messages == [
        f"Left out of {image_folder}: 2 files (hidden), such as .git.",
        f"Left out of {image_folder}: 1 file (not an image): notes.txt.",
    ]


def test_a_pipe_address_is_not_executed(tmp_path):
    for location in (f"pipe:touch {tmp_path}/made", f"pipe://touch {tmp_path}/made"):
        with pytest.raises((DataError, UsageError)):
            open_images(location)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("form", ["folder", "shards"])
def test_reading_many_returns_an_error_for_an_image_that_cannot_be_read(shards, image_folder, form):
    source = open_images(shards if form == "shards" else image_folder)
    if isinstance(source, ShardSet):
        os.truncate(shards / "train-0.tar", 700)
    else:
        (image_folder / "cat" / "01.png").unlink()
    broken, whole = read_many(source, [0, 11])
    assert isinstance(broken, BrokenImageError)
    assert whole == source.read(11)


@pytest.mark.data
def test_the_shared_cifar_shards_are_intact(shared_data):
    source = open_images(shared_data / "cifar10" / "test-{0000..0001}.tar.gz")
    assert len(source) == 2500
    assert source.classes[source.labels[0]] in source.classes
    assert source.read(0)[:4] == b"\x89PNG" or source.read(0)[:2] == b"\xff\xd8"
