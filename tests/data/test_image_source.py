from __future__ import annotations

import gzip
import json
import os
import pickle
import shutil
import tarfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mimic_ray.base.errors import BrokenImageError, DataError, UnknownNameError, UsageError
from mimic_ray.data import names, tar_shards, torchvision_set, unpack
from mimic_ray.data.decode import decode
from mimic_ray.data.image_source import open_images


def samples(encoded, numbers, labelled=True) -> dict[str, bytes]:
    members = {}
    for number in numbers:
        members[f"{number:06}.png"] = encoded(number)
        if labelled:
            members[f"{number:06}.cls"] = str(number % 3).encode()
    return members


@pytest.fixture
def shards(tmp_path, encoded, write_tar):
    """train-0 and train-1, six labelled images in each, and class names."""
    folder = tmp_path / "shards"
    folder.mkdir()
    write_tar(folder / "train-0.tar", samples(encoded, range(6)))
    write_tar(folder / "train-1.tar", samples(encoded, range(6, 12)))
    (folder / "classes.json").write_text(json.dumps(["cat", {"name": "dog"}, "owl"]))
    return folder


def zipped(path):
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return packed


def test_a_folder_gives_its_images_in_order_with_classes_and_without_hidden_files(
    image_folder, encoded
):
    source = open_images(image_folder)
    assert source.keys == sorted(source.keys)
    assert len(source) == 12
    assert source.classes == ["cat", "dog"]
    for key, label, content in zip(
        source.keys, source.labels, map(source.read, range(12)), strict=True
    ):
        assert content == encoded(int(key[4:6]))
        assert source.classes[label] == key[:3]


def test_a_folder_with_an_image_outside_of_its_class_folders_has_no_classes(image_folder, encoded):
    (image_folder / "loose.JPG").write_bytes(encoded(1, "JPEG"))
    source = open_images(image_folder)
    assert "loose.JPG" in source.keys
    assert source.labels is None
    assert source.classes is None


def test_links_to_folders_are_not_entered(image_folder):
    (image_folder / "cat" / "loop").symlink_to(image_folder)
    assert len(open_images(image_folder)) == 12


def test_shards_give_their_images_labels_and_class_names(shards, encoded):
    source = open_images(shards)
    assert source.keys == [f"{number:06}" for number in range(12)]
    assert [source.read(number) for number in range(12)] == list(map(encoded, range(12)))
    assert source.labels == [number % 3 for number in range(12)]
    assert source.classes == ["cat", "dog", "owl"]


@pytest.mark.parametrize("lacking", [{}, {"000001.cls": b"cat"}, {"000001.cls": b"-1"}])
def test_shards_in_which_one_label_lacks_have_none(tmp_path, encoded, write_tar, lacking):
    members = samples(encoded, range(3))
    del members["000001.cls"]
    assert open_images(write_tar(tmp_path / "a.tar", members | lacking)).labels is None


@pytest.mark.parametrize(
    "pattern", ["train-*.tar", "train-{0..1}.tar", "train-{0,1}.tar", "{train-0,train-1}.tar"]
)
def test_patterns_name_the_same_shards_as_their_folder(shards, pattern):
    assert open_images(f"{shards}/{pattern}").fingerprint == open_images(shards).fingerprint


def test_a_list_of_tars_and_one_tar_alone_are_sources(shards):
    both = open_images([shards / "train-1.tar", shards / "train-0.tar"])
    assert both.keys == open_images(shards).keys[6:] + open_images(shards).keys[:6]
    assert len(open_images(shards / "train-1.tar")) == 6


def test_numbers_in_braces_keep_their_zeros(tmp_path, encoded, write_tar):
    for number in range(8, 12):
        write_tar(tmp_path / f"a-{number:04}.tar", samples(encoded, [number]))
    source = open_images(tmp_path / "a-{0008..0011}.tar")
    assert source.keys == ["000008", "000009", "000010", "000011"]
    with pytest.raises(DataError, match=r"a-0012\.tar does not exist"):
        open_images(tmp_path / "a-{0008..0012}.tar")


def test_compressed_shards_read_like_plain_ones_and_are_unpacked_once(shards, cache, monkeypatch):
    wanted = open_images(shards)
    for path in sorted(shards.glob("*.tar")):
        zipped(path)
    source = open_images(shards)
    assert source.fingerprint == wanted.fingerprint
    assert source.read(7) == wanted.read(7)
    monkeypatch.setattr(unpack, "_unpack", lambda *_: pytest.fail("unpacked a second time"))
    assert len(open_images(shards)) == 12
    assert len(list((cache / "tars").iterdir())) == 2


def test_the_index_is_made_once_and_again_when_the_shard_changes(
    shards, encoded, write_tar, monkeypatch
):
    open_images(shards)
    walk = tar_shards.members_of
    monkeypatch.setattr(tar_shards, "members_of", lambda *_: pytest.fail("walked a second time"))
    assert len(open_images(shards)) == 12
    monkeypatch.setattr(tar_shards, "members_of", walk)
    write_tar(shards / "train-1.tar", samples(encoded, range(6, 9)))
    assert len(open_images(shards)) == 9


def test_the_fingerprint_does_not_hang_on_the_place_or_the_packing(shards, image_folder, tmp_path):
    for folder in (shards, image_folder):
        shutil.copytree(folder, tmp_path / "copy")
        assert open_images(tmp_path / "copy").fingerprint == open_images(folder).fingerprint
        shutil.rmtree(tmp_path / "copy")


def test_the_fingerprint_changes_with_content_key_and_order(shards, image_folder):
    seen = {open_images(image_folder).fingerprint, open_images(shards).fingerprint}
    shard = shards / "train-1.tar"
    seen.add(open_images([shard, shards / "train-0.tar"]).fingerprint)
    content = bytearray(shard.read_bytes())
    content[600] ^= 1
    shard.write_bytes(content)
    seen.add(open_images(shards).fingerprint)
    image = image_folder / "cat" / "01.png"
    image.write_bytes(image.read_bytes()[:-1] + b"x")
    seen.add(open_images(image_folder).fingerprint)
    image.rename(image.with_name("01a.png"))  # still the first
    seen.add(open_images(image_folder).fingerprint)
    assert len(seen) == 6


def test_a_cache_that_cannot_be_written_costs_only_time(
    shards, image_folder, tmp_path, monkeypatch
):
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("MIMIC_RAY_CACHE", str(tmp_path / "a file" / "cache"))
    assert len(open_images(shards)) == 12
    assert open_images(image_folder).fingerprint


def test_names_that_climb_out_are_only_keys(tmp_path, encoded, write_tar):
    climbing = {"../../etc/a.png": encoded(1), "/abs/b.png": encoded(2)}
    source = open_images(write_tar(tmp_path / "a.tar", climbing))
    assert source.keys == ["../../etc/a", "/abs/b"]
    assert [source.read(0), source.read(1)] == [encoded(1), encoded(2)]


def test_pickles_and_weights_in_a_tar_are_never_touched(tmp_path, encoded, write_tar):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    bomb = pickle.dumps(Bomb())
    members = {"a.pyd": bomb, "a.pth": bomb, "a.__key__": b"x", "a.png": encoded(1), "a.cls": bomb}
    source = open_images(write_tar(tmp_path / "a.tar", members))
    assert source.keys == ["a"]
    assert source.labels is None
    assert not (tmp_path / "exploded").exists()


def test_an_address_that_starts_a_shell_is_only_a_name(tmp_path):
    for location in (f"pipe:touch {tmp_path}/made", f"pipe://touch {tmp_path}/made"):
        with pytest.raises((DataError, UsageError)):
            open_images(location)
    assert not (tmp_path / "made").exists()


def test_one_key_in_two_shards_is_refused_with_both_names(tmp_path, encoded, write_tar):
    write_tar(tmp_path / "train-0.tar", samples(encoded, range(3)))
    write_tar(tmp_path / "test-0.tar", samples(encoded, range(2, 4)))
    with pytest.raises(DataError, match=r"000002 .* test-0\.tar and train-0\.tar.*train-\*\.tar"):
        open_images(tmp_path)
    assert len(open_images(tmp_path / "train-*.tar")) == 3


def test_a_compressed_bomb_is_refused_before_it_fills_the_disk(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(unpack, "limit_bytes", lambda packed: 100 * packed)
    (tmp_path / "a.tar").write_bytes(gzip.compress(bytes(20 << 20)))
    with pytest.raises(DataError, match="grows over"):
        open_images(tmp_path / "a.tar")
    assert not list((cache / "tars").iterdir())


def test_gzip_limits_let_images_pass_and_stop_a_bomb():
    assert unpack.limit_bytes(1 << 30) < 1000 << 30
    assert unpack.limit_bytes(1 << 20) >= 100 << 20


@pytest.mark.parametrize("keep", [0.3, 0.99])
def test_a_cut_gzip_file_is_refused(shards, cache, keep):
    path = zipped(shards / "train-1.tar")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(DataError, match=r"train-1\.tar\.gz is damaged"):
        open_images(shards)
    assert not list(cache.glob("tars/*.tmp*"))


def test_a_shard_that_cannot_be_read_is_named(shards):
    (shards / "train-0.tar").unlink()
    (shards / "train-0.tar").mkdir()  # root may read every file, but no folder
    with pytest.raises(DataError, match=r"train-0\.tar cannot be read"):
        open_images(shards)


def test_shards_without_a_single_image_are_refused(tmp_path, write_tar):
    with pytest.raises(DataError, match="not one image"):
        open_images(write_tar(tmp_path / "a.tar", {"a.txt": b"text"}))


def test_an_image_over_the_limit_is_broken_and_not_read(tmp_path, encoded, write_tar, monkeypatch):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.png").write_bytes(encoded(1))
    tar = write_tar(tmp_path / "a.tar", {"a.png": encoded(1)})
    for module in ("tar_shards", "image_folder"):
        monkeypatch.setattr(f"mimic_ray.data.{module}.IMAGE_LIMIT_BYTES", 100)
    for location in (tar, tmp_path / "folder"):
        with pytest.raises(BrokenImageError, match="over the limit"):
            open_images(location).read(0)


def test_an_image_that_went_away_is_a_broken_image(image_folder):
    source = open_images(image_folder)
    shutil.rmtree(image_folder)
    with pytest.raises(BrokenImageError, match="cannot be read"):
        source.read(0)


def test_a_shard_that_is_cut_while_open_is_a_broken_image(shards):
    source = open_images(shards)
    os.truncate(shards / "train-0.tar", 700)
    with pytest.raises(BrokenImageError, match="cut after it was opened"):
        source.read(5)


def test_more_shards_than_may_be_open_are_read_too(shards, encoded, monkeypatch):
    monkeypatch.setattr(tar_shards, "_OPEN_SHARDS", 1)
    assert open_images(shards).read(11) == encoded(11)


def test_threads_may_read_at_once(shards, encoded):
    source = open_images(shards)
    rows = [number % 12 for number in range(400)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(source.read, rows)) == [encoded(row) for row in rows]


@pytest.mark.parametrize("name", ["empty", "only text", "missing", "a.txt", "none-*.tar", "pipe"])
def test_a_place_without_images_is_named_in_a_sentence(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "only text").mkdir()
    (tmp_path / "only text" / "notes.txt").write_text("")
    (tmp_path / "a.txt").write_text("")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match=name.replace("*", r"\*")):
        open_images(tmp_path / name)


def test_npz_images_come_out_pixel_by_pixel(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 6, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", x=images, y=np.arange(5)[:, None])
    source = open_images(tmp_path / "a.npz")
    assert np.array_equal(np.stack([decode(source.read(row)) for row in range(5)]), images)
    assert source.labels == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"t": np.zeros(3)}, 'needs "x"'),
        ({"x": np.zeros((2, 4, 4, 3))}, "wanted uint8"),
        ({"x": np.zeros((2, 4, 4), np.uint8)}, "wanted uint8"),
        ({"x": np.zeros((0, 4, 4, 3), np.uint8)}, "no image"),
        ({"x": np.zeros((2, 4, 4, 3), np.uint8), "y": np.arange(3)}, "one integer for each"),
        ({"x": np.array([{}, {}])}, "no npz file of images"),
    ],
)
def test_npz_files_of_other_content_are_refused(tmp_path, arrays, said):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=said):
        open_images(tmp_path / "a.npz")


def test_npz_files_that_are_damaged_or_foreign_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((9, 8, 8, 3), np.uint8))
    whole = (tmp_path / "a.npz").read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for content in (b"", b"<html>", whole[:-100], whole[:40], bytes(flipped)):
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(DataError, match=r"a\.npz"):
            open_images(tmp_path / "a.npz")


def test_an_npz_file_that_grows_over_the_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("mimic_ray.data.npz_file._LIMIT_BYTES", 1 << 20)
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros((600, 32, 32, 3), np.uint8))
    with pytest.raises(DataError, match="over the limit of 1 MiB"):
        open_images(tmp_path / "a.npz")


def test_a_torchvision_set_on_disk_is_a_source(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 96, 96), dtype=np.uint8)
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    (folder / "test_X.bin").write_bytes(images.transpose(0, 1, 3, 2).tobytes())
    (folder / "test_y.bin").write_bytes(bytes([1, 3, 2, 1]))
    (folder / "class_names.txt").write_text("airplane\nbird\ncar\n")
    with pytest.MonkeyPatch.context() as patch:
        # The official files have checksums; these have not.
        patch.setattr("torchvision.datasets.STL10._check_integrity", lambda self: True)
        source = open_images(f"torchvision:STL10:{tmp_path}:test")
    assert np.array_equal(decode(source.read(2)).transpose(2, 0, 1), images[2])
    assert source.labels == [0, 2, 1, 0]
    assert source.classes == ["airplane", "bird", "car"]


def test_torchvision_sets_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(UnknownNameError, match="CIFAR10"):
        open_images(f"torchvision:CIFAR1O:{tmp_path}")
    with pytest.raises(DataError, match="finds no CIFAR10"):
        open_images(f"torchvision:CIFAR10:{tmp_path}")
    with pytest.raises(DataError, match="train, test"):
        open_images(f"torchvision:CIFAR10:{tmp_path}:validation")
    assert set(torchvision_set._KINDS) == {"CIFAR10", "CIFAR100", "STL10", "SVHN"}


def test_the_cache_folder_is_the_named_one_or_the_platforms(monkeypatch, tmp_path):
    assert names.cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("MIMIC_RAY_CACHE")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert str(names.cache_folder()) == "/xdg/mimic-ray"


def test_macos_shadow_files_in_a_tar_are_no_images(tmp_path, encoded, write_tar):
    members = {"a/._1.png": b"shadow", "a/1.png": encoded(1)}
    path = write_tar(tmp_path / "a.tar", members, tarfile.PAX_FORMAT)
    assert open_images(path).keys == ["a/1"]


@pytest.mark.data
def test_the_shared_cifar_shards_are_whole(shared_data):
    source = open_images(shared_data / "cifar10" / "test-{0000..0001}.tar.gz")
    assert len(source) == 2500
    assert source.classes[source.labels[0]] in source.classes
    assert decode(source.read(0)).shape == (32, 32, 3)
