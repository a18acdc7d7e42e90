from __future__ import annotations

import shutil

import pytest

from mimic_ray.data import fingerprint
from mimic_ray.data.image_source import open_images


def test_the_fingerprint_does_not_depend_on_the_location(shards, image_folder, tmp_path):
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
    image.rename(image.with_name("01a.png"))  # still the first one
    seen.add(open_images(image_folder).fingerprint)
    assert len(seen) == 6


def test_only_changed_files_are_hashed_again(image_folder, monkeypatch):
    first = open_images(image_folder).fingerprint
    hashed = []
    sha256 = fingerprint.files.sha256
    monkeypatch.setattr(
        fingerprint.files, "sha256", lambda path: hashed.append(path.name) or sha256(path)
    )
    assert open_images(image_folder).fingerprint == first
    assert hashed == []
    (image_folder / "cat" / "04.png").write_bytes(b"changed")
    assert open_images(image_folder).fingerprint != first
    assert hashed == ["04.png"]


def test_a_cache_that_cannot_be_written_costs_only_time(
    shards, image_folder, tmp_path, monkeypatch
):
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("MIMIC_RAY_CACHE", str(tmp_path / "a file" / "cache"))
    assert len(open_images(shards)) == 12
    assert open_images(image_folder).fingerprint


@pytest.mark.parametrize("kind", ["content", "path"])
def test_the_identity_of_a_file_changes_with_its_content_and_path(tmp_path, kind):
    path = tmp_path / "a"
    path.write_bytes(b"one")
    before = fingerprint.path_id(path, fingerprint.file_identity(path))
    if kind == "content":
        path.write_bytes(b"other")
    else:
        path = path.rename(tmp_path / "b")
    assert fingerprint.path_id(path, fingerprint.file_identity(path)) != before
