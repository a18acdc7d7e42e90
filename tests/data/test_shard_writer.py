from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
import tarfile

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mimic_ray.base.errors import DataError, DiskFullError, RunFolderError
from mimic_ray.data.decode import decode
from mimic_ray.data.image_source import open_images
from mimic_ray.data.manifest import MANIFEST, SET
from mimic_ray.data.resize import centre_square
from mimic_ray.data.shard_writer import build

READ_WITH_WEBDATASET = """
import json, os, sys
os.environ["WDS_SECURE"] = "1"
import webdataset
samples = webdataset.WebDataset(sys.argv[1:], shardshuffle=False)
print(json.dumps([[s["__key__"], s["png"].hex(), s["cls"].decode()] for s in samples]))
"""


@pytest.fixture
def built(image_folder, tmp_path):
    build(open_images(image_folder), tmp_path / "set", per_shard=5)
    return tmp_path / "set"


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_built_set_has_the_same_images_labels_and_classes(image_folder, built):
    before, after = open_images(image_folder), open_images(built)
    assert after.keys == [key.removesuffix(".png") for key in before.keys]
    rows = range(len(before))
    assert list(map(after.read, rows)) == list(map(before.read, rows))
    assert after.labels == before.labels
    assert after.classes == before.classes


def test_the_manifest_has_the_offset_size_and_hash_of_each_image(built):
    for row in pq.read_table(built / MANIFEST).to_pylist():
        content = (built / row["shard"]).read_bytes()[row["offset"] : row["offset"] + row["size"]]
        assert hashlib.sha256(content).hexdigest() == row["sha256"] == row["source_sha256"]
        assert (row["width"], row["height"], row["format"]) == (12, 10, "png")
        assert row["source_key"] == row["key"] + ".png"


def test_set_json_has_the_totals_of_the_set(built):
    facts = json.loads((built / SET).read_text())
    assert facts["images"] == 12
    assert [shard["images"] for shard in facts["shards"]] == [5, 5, 2]
    for shard in facts["shards"]:
        content = (built / shard["name"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (
            shard["bytes"],
            shard["sha256"],
        )
    assert facts["total_bytes"] == sum(shard["bytes"] for shard in facts["shards"])
    assert facts["fingerprint"] == open_images(built).fingerprint


def test_the_manifest_does_not_change_the_fingerprint(built):
    with_manifest = open_images(built).fingerprint
    (built / MANIFEST).unlink()
    assert open_images(built).fingerprint == with_manifest


def test_equal_images_give_equal_bytes(image_folder, tmp_path):
    for path in image_folder.rglob("*.png"):
        os.utime(path, (0, 0))
    build(open_images(image_folder), tmp_path / "one", per_shard=5, side=8)
    for path in image_folder.rglob("*.png"):
        os.utime(path, (10**9, 10**9))
    build(open_images(image_folder), tmp_path / "two", per_shard=5, side=8)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_webdataset_reads_the_shards(built):
    shards = sorted(map(str, built.glob("*.tar")))
    read = subprocess.run(
        [sys.executable, "-c", READ_WITH_WEBDATASET, *shards],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    source = open_images(built)
    expected = [
        [key, source.read(row).hex(), str(label)]
        for row, (key, label) in enumerate(zip(source.keys, source.labels, strict=True))
    ]
    assert json.loads(read.stdout) == expected


def test_the_shards_are_plain_ustar(built):
    for path in built.glob("*.tar"):
        with tarfile.open(path) as tar:
            for member in tar:
                assert member.pax_headers == {}
                assert (member.mtime, member.uid, member.gid, member.mode) == (0, 0, 0, 0o644)


def test_a_side_shrinks_larger_images_and_keeps_the_bytes_of_the_others(tmp_path, encoded):
    (tmp_path / "images").mkdir()
    y, x = np.mgrid[0:60, 0:80]
    smooth = np.stack([x * 3, y * 4, x + y], axis=2).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "images" / "large.png")
    (tmp_path / "images" / "small.png").write_bytes(encoded(1))
    build(open_images(tmp_path / "images"), tmp_path / "set", side=32, quality=95)
    source = open_images(tmp_path / "set")
    assert source.keys == ["large", "small"]
    assert source.read(1) == encoded(1)
    difference = decode(source.read(0)).astype(int) - centre_square(smooth, 32)
    assert np.abs(difference).mean() < 2


def test_keys_that_do_not_suit_a_tar_become_numbers(tmp_path, encoded, write_tar):
    members = {"../../etc/a.png": encoded(1), "x y.2021.png": encoded(2)}
    source = open_images(write_tar(tmp_path / "a.tar", members))
    build(source, tmp_path / "set")
    assert open_images(tmp_path / "set").keys == ["000000000", "000000001"]
    table = pq.read_table(tmp_path / "set" / MANIFEST).to_pylist()
    assert [row["source_key"] for row in table] == ["../../etc/a", "x y"]


def test_broken_images_are_skipped_up_to_the_limit(image_folder, tmp_path):
    broken = image_folder / "cat" / "01.png"
    broken.write_bytes(b"<html>")
    result = build(open_images(image_folder), tmp_path / "set", broken_share=0.1)
    assert [key for key, _ in result.broken] == ["cat/01.png"]
    assert result.facts.images == len(open_images(tmp_path / "set")) == 11
    with pytest.raises(DataError, match=r"1 of 12 images .*cat/01\.png"):
        build(open_images(image_folder), tmp_path / "other", broken_share=0.05)
    assert not (tmp_path / "other").exists()


def test_a_folder_that_is_not_empty_is_refused_and_not_changed(image_folder, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="not an empty folder"):
        build(open_images(image_folder), tmp_path / "set")
    assert contents(tmp_path / "set") == {"mine.txt": b"mine"}


def test_an_interrupted_build_leaves_nothing(image_folder, tmp_path):
    def stop(done: int, _: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(open_images(image_folder), tmp_path / "set", progress=stop)
    assert not [path for path in tmp_path.iterdir() if "set" in path.name]


def test_a_full_disk_leaves_nothing_and_the_error_says_so(image_folder, tmp_path, monkeypatch):
    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mimic_ray.data.shard_writer.manifest.to_parquet", no_space)
    with pytest.raises(DiskFullError, match="Nothing was written"):
        build(open_images(image_folder), tmp_path / "set")
    assert not [path for path in tmp_path.iterdir() if "set" in path.name]


def test_compressed_tars_and_npz_files_can_be_built_from(tmp_path, built):
    packed = tmp_path / "a.tar.gz"
    packed.write_bytes(gzip.compress((built / "images-00000.tar").read_bytes()))
    build(open_images(packed), tmp_path / "from gzip")
    assert len(open_images(tmp_path / "from gzip")) == 5
    images = np.random.default_rng(0).integers(0, 256, (3, 6, 6, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", x=images, y=np.array([2, 0, 1]))
    build(open_images(tmp_path / "a.npz"), tmp_path / "from npz")
    source = open_images(tmp_path / "from npz")
    assert source.labels == [2, 0, 1]
    assert np.array_equal(decode(source.read(1)), images[1])
