"""Images and shards that cannot be used."""

from __future__ import annotations

import shutil
import tarfile

import pytest
from PIL import Image

from tests.cli.toy_images import run, truncated


def test_a_missing_data_folder_is_named(purify_refused, tmp_path):
    purify_refused(["--data", tmp_path / "none"], tmp_path / "none", "does not exist", code=2)


def test_a_pattern_that_matches_nothing_is_named(purify_refused, tmp_path):
    purify_refused(["--data", tmp_path / "train-*.tar"], "train-*.tar", code=2)


def test_an_empty_data_folder_is_refused(purify_refused, tmp_path):
    (tmp_path / "empty").mkdir()
    purify_refused(["--data", tmp_path / "empty"], tmp_path / "empty", "empty", code=1)


def test_a_data_folder_without_images_is_refused_with_an_example_of_its_files(
    purify_refused, tmp_path
):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "notes.txt").write_text("no image")
    purify_refused(["--data", tmp_path / "texts"], "no images", "notes.txt", code=1)


def test_images_of_one_colour_each_are_refused(purify_refused, tmp_path):
    (tmp_path / "flat").mkdir()
    for number in range(12):
        Image.new("RGB", (32, 32), (20 * number, 99, 0)).save(tmp_path / "flat" / f"{number}.png")
    purify_refused(["--data", tmp_path / "flat"], "flat has a single colour", "--data", code=1)


@pytest.fixture
def shard(case, tmp_path):
    path = tmp_path / "images.tar"
    with tarfile.open(path, "w") as tar:
        for image in sorted((case / "images").iterdir()):
            tar.add(image, image.name)
    return path


SHARDS = {
    "truncated": (truncated, ["is truncated"]),
    "without_end": (lambda content: content[: content.rstrip(b"\0").__len__() + 1], []),
    "empty": (lambda content: b"", ["is empty"]),
    "web_page": (lambda content: b"<html>Sign in</html>".ljust(600), ["web page"]),
    "lfs_pointer": (lambda content: b"version https://git-lfs.github.com/spec/v1\n", ["git-lfs"]),
    "foreign": (lambda content: bytes(range(256)) * 4, ["not a tar"]),
    "bad_header": (lambda content: content[:512] + b"\xff" + content[513:], []),
}


@pytest.mark.parametrize("kind", SHARDS)
def test_a_damaged_shard_is_refused_with_its_name(purify_refused, shard, kind):
    change, words = SHARDS[kind]
    shard.write_bytes(change(shard.read_bytes()))
    if kind == "bad_header":  # the second member's
        content = bytearray(shard.read_bytes())
        second = 512 + -(-int(content[124:135], 8) // 512) * 512
        content[second] ^= 0xFF
        shard.write_bytes(bytes(content))
    purify_refused(["--data", shard], shard, *words, code=1)


def test_a_shard_missing_from_its_folder_is_named(purify_refused, case, tmp_path, capsys):
    built = tmp_path / "set"
    words = ["shards", "build", case / "images", "--out", built, "--per-shard", 20]
    assert run(words) == 0
    capsys.readouterr()
    lost = built / "images-00001.tar"
    lost.unlink()
    purify_refused(["--data", built], lost, "does not exist", code=1)


def test_too_many_broken_images_are_counted_and_named(purify_refused, case, tmp_path):
    images = shutil.copytree(case / "images", tmp_path / "images")
    for number in (3, 4):
        (images / f"{number:03}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(32))
    purify_refused(["--data", images], "2 of 40 images", "003.png", "004.png", code=1)


def test_a_folder_of_broken_images_only_is_refused(purify_refused, tmp_path):
    (tmp_path / "images").mkdir()
    for number in range(10):
        (tmp_path / "images" / f"{number}.jpg").write_bytes(b"no image")
    purify_refused(["--data", tmp_path / "images"], "None of 10 images", code=1)


def test_fewer_images_than_a_batch_are_counted(purify_refused):
    options = ["--set", "training.batch=64"]
    purify_refused(options, "40 images", "batch of 64", "lower training.batch", code=1)
