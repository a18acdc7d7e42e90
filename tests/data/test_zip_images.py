from __future__ import annotations

import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from mimic_ray.base.errors import BrokenImageError, DataError
from mimic_ray.data.encoded_images import read_many
from mimic_ray.data.image_source import open_images
from mimic_ray.data.left_out import LeftOut


@pytest.fixture
def archive(tmp_path, image_folder):
    """A zip of the image folder, as Kaggle has them."""
    return shutil.make_archive(str(tmp_path / "archive"), "zip", image_folder.parent, "images")


def write(path, members, how=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", how) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return path


def test_a_zip_is_its_folder(archive, image_folder):
    source, folder = open_images(archive), open_images(image_folder.parent)
    assert source.keys == folder.keys
    assert [source.read(row) for row in range(12)] == [folder.read(row) for row in range(12)]
    assert (source.labels, source.classes) == (folder.labels, ["cat", "dog"])
    assert source.left_out["not an image"] == LeftOut(1, "images/notes.txt")
    assert source.left_out["hidden"].count == 2


def test_the_same_names_and_contents_have_the_same_fingerprint(tmp_path, image_folder):
    archive = shutil.make_archive(str(tmp_path / "archive"), "zip", image_folder)
    assert open_images(archive).fingerprint == open_images(image_folder).fingerprint
    assert open_images(archive).fingerprint == open_images(image_folder).fingerprint  # remembered


def test_threads_can_read_at_the_same_time(archive, image_folder):
    source, folder = open_images(archive), open_images(image_folder)
    rows = [number % 12 for number in range(400)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(source.read, rows)) == [folder.read(row) for row in rows]


def test_labels_can_be_members_beside_the_images(tmp_path, encoded):
    members = {f"{n}.png": encoded(n) for n in range(3)} | {
        f"{n}.cls": str(2 - n) for n in range(3)
    }
    source = open_images(write(tmp_path / "a.zip", members))
    assert source.labels == [2, 1, 0]
    assert source.left_out == {}


def test_names_that_climb_are_only_keys(tmp_path, encoded):
    source = open_images(write(tmp_path / "a.zip", {"../../a.png": encoded(1), "/b": encoded(2)}))
    assert source.keys == ["../../a.png", "/b"]
    assert source.read(1) == encoded(2)


def test_two_splits_in_a_zip_are_refused_with_what_to_type(tmp_path, encoded):
    members = {"x/train/1.png": encoded(1), "x/test/2.png": encoded(2)}
    with pytest.raises(
        DataError, match=r"unzip .\S+a\.zip. -d FOLDER.*FOLDER/x/test or FOLDER/x/train"
    ):
        open_images(write(tmp_path / "a.zip", members))


def test_a_bomb_and_an_image_over_the_limit_are_refused(tmp_path, encoded, monkeypatch):
    bomb = write(tmp_path / "bomb.zip", {"a.png": encoded(1), "b.png": bytes(80 << 20)})
    with pytest.raises(DataError, match=r"bomb\.zip unpacks to 80 MiB, over the limit of 7\d MiB"):
        open_images(bomb)
    monkeypatch.setattr("mimic_ray.data.zip_images.IMAGE_LIMIT_BYTES", 100)
    with pytest.raises(BrokenImageError, match="over the limit"):
        open_images(write(tmp_path / "a.zip", {"a.png": encoded(1)})).read(0)


def test_a_damaged_member_is_broken_and_a_damaged_zip_is_refused(tmp_path, encoded):
    path = write(tmp_path / "a.zip", {"a.png": encoded(1)}, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    content[60] ^= 1
    path.write_bytes(content)
    with pytest.raises(BrokenImageError, match="CRC"):
        open_images(path).read(0)
    path.write_bytes(content[:-30])
    with pytest.raises(DataError, match=r"a\.zip is damaged"):
        open_images(path)


def test_encrypted_images_are_counted(tmp_path, encoded):
    path = write(tmp_path / "a.zip", {"a.png": encoded(1), "b.png": encoded(2)})
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1  # the flag of b.png
    path.write_bytes(content)
    source = open_images(path)
    assert (source.keys, source.left_out) == (["a.png"], {"encrypted": LeftOut(1, "b.png")})


def test_random_damage_raises_only_data_errors(tmp_path, image_folder):
    path = Path(shutil.make_archive(str(tmp_path / "archive"), "zip", image_folder))
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(whole)
        for _ in range(4):
            damaged[-rng.integers(1, 1500)] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            source = open_images(path)
        except DataError:
            continue
        for content in read_many(source, range(len(source))):
            assert isinstance(content, bytes | BrokenImageError)


def test_a_zip_without_images_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no images: a\.tar, b\.txt\. Unpack it: unzip"):
        open_images(write(tmp_path / "a.zip", {"a.tar": b"", "b.txt": b""}))
