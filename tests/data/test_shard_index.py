from __future__ import annotations

import hashlib
import io
import tarfile

import pytest

from mimic_ray.base.errors import DataError
from mimic_ray.data import shard_index
from mimic_ray.data.image_source import open_images
from mimic_ray.data.left_out import LeftOut
from mimic_ray.data.shard_index import index_file, index_tar


def test_the_index_is_made_once_and_again_when_the_shard_changes(
    shards, samples, write_tar, monkeypatch
):
    open_images(shards)
    with monkeypatch.context() as patch:
        patch.setattr(shard_index, "members_of", lambda *_: pytest.fail("indexed again"))
        assert len(open_images(shards)) == 12
    write_tar(shards / "train-1.tar", samples(range(6, 9)))
    assert len(open_images(shards)) == 9


def test_the_index_of_a_file_is_that_of_its_path(shards):
    path = shards / "train-0.tar"
    content = path.read_bytes()
    found = index_file(io.BytesIO(content), len(content), "train-0.tar", "train-0.tar")
    assert found == index_tar(path, "train-0.tar")
    assert [entry.label for entry in found.entries] == [number % 3 for number in range(6)]


def test_shadow_files_of_macos_are_not_images(tmp_path, encoded, write_tar):
    members = {"a/._1.png": b"shadow", "a/1.png": encoded(1)}
    path = write_tar(tmp_path / "a.tar", members, tarfile.PAX_FORMAT)
    found = index_tar(path, "a.tar")
    assert [entry.key for entry in found.entries] == ["a/1"]
    assert found.left_out == {"hidden": LeftOut(1, "a/._1.png")}


def test_a_mask_is_not_read_as_an_image_of_its_own(tmp_path, encoded, write_tar):
    members = {}
    for number in range(4):
        members[f"{number}.seg.png"] = encoded(10 + number)
        members[f"{number}.jpg"] = encoded(number)
        members[f"{number}.json"] = b'{"caption": "a cat"}'
    members["4.seg.png"] = encoded(14)  # its photograph is missing
    found = index_tar(write_tar(tmp_path / "a.tar", members), "a.tar")
    assert [entry.key for entry in found.entries] == list("0123")
    assert [entry.sha256 for entry in found.entries] == [
        hashlib.sha256(encoded(number)).hexdigest() for number in range(4)
    ]
    assert found.left_out == {"another image of a sample": LeftOut(5, "0.seg.png")}


def test_two_photographs_of_a_sample_are_refused_with_their_names(tmp_path, encoded, write_tar):
    members = {"7.left.png": encoded(1), "7.right.png": encoded(2)}
    with pytest.raises(DataError, match=r"7\.left\.png and 7\.right\.png.*'\*\.left\.png'"):
        index_tar(write_tar(tmp_path / "a.tar", members), "a.tar")


def test_names_with_dots_are_not_samples(tmp_path, encoded, write_tar):
    members = {f"photo.{number}.png": encoded(number) for number in range(20)}
    found = index_tar(write_tar(tmp_path / "a.tar", members), "a.tar")
    assert [entry.key for entry in found.entries] == [f"photo.{number}" for number in range(20)]


def test_a_name_that_occurs_twice_is_refused(tmp_path, encoded):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for number in range(2):
            header = tarfile.TarInfo("1.png")
            header.size = len(encoded(number))
            tar.addfile(header, io.BytesIO(encoded(number)))
    with pytest.raises(DataError, match=r"1\.png twice"):
        index_tar(tmp_path / "a.tar", "a.tar")


def test_a_label_is_a_number_or_a_name_in_cls_json_or_txt(tmp_path, encoded, write_tar):
    texts = {
        "0.cls": b"3",
        "1.json": b'{"label": 4}',
        "2.txt": b"5\n",
        "3.json": b'{"class":"owl"}',
    }
    members = {f"{number}.png": encoded(number) for number in range(4)} | texts
    found = index_tar(write_tar(tmp_path / "a.tar", members), "a.tar").entries
    assert [entry.label for entry in found] == [3, 4, 5, None]
    assert found[3].class_name == "owl"


def test_a_member_without_a_suffix_is_read_if_it_is_an_image(tmp_path, encoded, write_tar):
    members = {"9f86d081": encoded(1), "a/1.webp-large": encoded(2, "JPEG"), "b": b"text"}
    found = index_tar(write_tar(tmp_path / "a.tar", members), "a.tar")
    assert [entry.key for entry in found.entries] == ["9f86d081", "a/1.webp-large"]
    assert found.left_out == {"not an image": LeftOut(1, "b")}


def test_a_missing_tar_is_named(tmp_path):
    with pytest.raises(DataError, match=r"a\.tar cannot be read: No such file"):
        index_tar(tmp_path / "a.tar", "a.tar")
