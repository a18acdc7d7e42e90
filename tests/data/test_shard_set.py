"""The images of a set of shards, local or remote; see also test_remote_shards.py."""

from __future__ import annotations

import os
import pickle

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mimic_ray.base.errors import DataError
from mimic_ray.data.image_source import open_images
from mimic_ray.data.left_out import LeftOut
from mimic_ray.data.manifest import MANIFEST, SET
from mimic_ray.data.shard_writer import build


@pytest.fixture
def built(image_folder, tmp_path):
    """Twelve images in three shards, with a manifest."""
    build(open_images(image_folder), tmp_path / "set", per_shard=4)
    return tmp_path / "set"


def test_shards_give_their_images_labels_and_class_names(shards, encoded):
    source = open_images(shards)
    assert source.keys == [f"{number:06}" for number in range(12)]
    assert [source.read(number) for number in range(12)] == list(map(encoded, range(12)))
    assert source.read_many([7, 0, 7]) == [encoded(7), encoded(0), encoded(7)]
    assert source.labels == [number % 3 for number in range(12)]
    assert source.classes == ["cat", "dog", "owl"]


@pytest.mark.parametrize("label", [None, b"cat", b"-1"])
def test_a_missing_or_invalid_label_means_no_labels(tmp_path, samples, write_tar, label):
    members = samples(range(3))
    del members["000001.cls"]
    if label is not None:
        members["000001.cls"] = label
    assert open_images(write_tar(tmp_path / "a.tar", members)).labels is None


def test_keys_that_start_again_in_every_shard_get_its_name(tmp_path, encoded, write_tar):
    """Writers that run beside each other count from 0."""
    for shard in range(3):
        members = {f"{i}.png": encoded(10 * shard + i) for i in range(2)}
        members |= {f"{i}.cls": str(shard).encode() for i in range(2)}
        write_tar(tmp_path / f"a-{shard}.tar", members)
    source = open_images(tmp_path)
    assert source.keys == [f"a-{shard}/{i}" for shard in range(3) for i in range(2)]
    assert source.read_many(range(6)) == [encoded(n) for n in (0, 1, 10, 11, 20, 21)]
    assert source.labels == [0, 0, 1, 1, 2, 2]


def test_tars_of_the_same_name_in_two_folders_keep_their_images_apart(tmp_path, samples, write_tar):
    for name in "ab":
        (tmp_path / name).mkdir()
        write_tar(tmp_path / name / "0.tar", samples(range(2)))
    assert len(set(open_images(tmp_path / "*/0.tar").keys)) == 4


def test_shards_of_two_splits_are_not_read_as_one_set(tmp_path, samples, write_tar):
    for name in ("train-0", "train-1", "val-0"):
        write_tar(tmp_path / f"{name}.tar", samples(range(3)))
    with pytest.raises(DataError, match=r"2 tars of train and 1 tar of val.*train-\*\.tar"):
        open_images(tmp_path)
    assert len(open_images(tmp_path / "train-*.tar")) == 6


def test_shards_without_images_are_refused_with_what_they_contain(tmp_path, write_tar):
    with pytest.raises(DataError, match=r"1 tar but no images: 1 file \(not an image\): a\.txt"):
        open_images(write_tar(tmp_path / "a.tar", {"a.txt": b"text"}))


def test_a_tar_of_tars_is_named_with_the_way_out(tmp_path, samples, write_tar):
    inner = write_tar(tmp_path / "n01.tar", samples(range(2))).read_bytes()
    outer = write_tar(tmp_path / "outer.tar", {"n01.tar": inner, "n02.tar": inner})
    with pytest.raises(
        DataError, match=r"it contains 2 archives, such as n01\.tar\. Unpack it: tar"
    ):
        open_images(outer)


def test_class_names_in_text_are_numbered_in_order(tmp_path, encoded, write_tar):
    names = ["owl", "cat", "owl", "cat"]
    members = {}
    for number, name in enumerate(names):
        members |= {f"{number}.png": encoded(number), f"{number}.cls": name.encode()}
    source = open_images(write_tar(tmp_path / "a.tar", members))
    assert (source.labels, source.classes) == ([1, 0, 1, 0], ["cat", "owl"])


def test_files_beside_shards_are_counted(shards):
    (shards / "more.tar.xz").write_bytes(b"")
    (shards / "preview.heic").write_bytes(b"")
    assert list(open_images(shards).left_out) == [
        "an archive, which is not read here: unpack it",
        "an image format that is not read: convert it to PNG or JPEG",
    ]


def test_names_with_parent_folders_are_only_keys(tmp_path, encoded, write_tar):
    climbing = {"../../etc/a.png": encoded(1), "/abs/b.png": encoded(2)}
    source = open_images(write_tar(tmp_path / "a.tar", climbing))
    assert source.keys == ["../../etc/a", "/abs/b"]
    assert [source.read(0), source.read(1)] == [encoded(1), encoded(2)]


def test_pickles_and_weights_in_a_tar_are_not_loaded(tmp_path, encoded, write_tar):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    bomb = pickle.dumps(Bomb())
    members = {"a.pyd": bomb, "a.pth": bomb, "a.__key__": b"x", "a.png": encoded(1), "a.cls": bomb}
    source = open_images(write_tar(tmp_path / "a.tar", members))
    assert source.keys == ["a"]
    assert source.labels is None
    assert not (tmp_path / "exploded").exists()


def test_a_pattern_selects_part_of_a_set_with_a_manifest(built):
    assert open_images(f"{built}/images-0000[01].tar").keys == open_images(built).keys[:8]


def test_a_shard_that_the_manifest_does_not_list_is_not_part_of_the_set(built, write_tar, encoded):
    write_tar(built / "extra.tar", {"x.png": encoded(1)})
    source = open_images(built)
    assert len(source) == 12
    assert source.left_out == {"a tar that manifest.parquet does not list": LeftOut(1, "extra.tar")}


def test_opening_a_set_finds_missing_and_truncated_shards(built):
    truncated = built / "images-00001.tar"
    whole = truncated.read_bytes()
    truncated.write_bytes(whole[:-512])
    with pytest.raises(DataError, match=r"images-00001\.tar has 9,728 bytes .* with 10,240"):
        open_images(built)
    assert len(open_images(built / "images-00000.tar")) == 4  # the damaged shard is not used
    (built / SET).unlink()
    truncated.write_bytes(whole[:1024])
    with pytest.raises(DataError, match=r"images-00001\.tar is truncated"):
        open_images(built)
    truncated.unlink()
    with pytest.raises(DataError, match=r"images-00001\.tar does not exist, .* lists 4 images"):
        open_images(built)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("shard", "../images-00000.tar"),
        ("shard", ".."),
        ("shard", ""),
        ("offset", -1),
        ("size", -5),
    ],
)
def test_a_manifest_that_points_outside_its_folder_or_files_is_refused(built, column, value):
    rows = pq.read_table(built / MANIFEST).to_pylist()
    rows[3][column] = value
    pq.write_table(pa.Table.from_pylist(rows), built / MANIFEST)
    with pytest.raises(DataError, match=r"manifest\.parquet is damaged"):
        open_images(built)
