"""Small images in every format, and a cache folder for each test."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mimic_ray.base.storage import open_storage
from mimic_ray.data.image_source import open_images
from mimic_ray.data.shard_writer import build


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("MIMIC_RAY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def address(image_folder, tmp_path, bucket) -> str:
    """Twelve images in three shards with a manifest, on S3; `tmp_path / "local"` has the same."""
    build(open_images(image_folder), tmp_path / "local", per_shard=4)
    storage = open_storage(f"{bucket}/set")
    for path in (tmp_path / "local").iterdir():
        storage.write(path.name, path)
    return f"{bucket}/set"


@pytest.fixture(scope="session")
def encoded():
    """image number -> an encoded image of noise; equal numbers give equal bytes."""

    def make(number: int, form: str = "PNG", size: tuple[int, int] = (12, 10)) -> bytes:
        noise = np.random.default_rng(number).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
        content = io.BytesIO()
        Image.fromarray(noise).save(content, form)
        return content.getvalue()

    return make


@pytest.fixture(scope="session")
def write_tar():
    """Writes name -> content into a plain tar."""

    def write(path: Path, members: Mapping[str, bytes], form: int = tarfile.USTAR_FORMAT) -> Path:
        with tarfile.open(path, "w", format=form) as tar:
            for name, content in members.items():
                header = tarfile.TarInfo(name)
                header.size = len(content)
                tar.addfile(header, io.BytesIO(content))
        return path

    return write


@pytest.fixture(scope="session")
def samples(encoded):
    """image numbers -> tar members; the label of an image is its number modulo 3."""

    def make(numbers, labelled: bool = True) -> dict[str, bytes]:
        members = {}
        for number in numbers:
            members[f"{number:06}.png"] = encoded(number)
            if labelled:
                members[f"{number:06}.cls"] = str(number % 3).encode()
        return members

    return make


@pytest.fixture
def shards(tmp_path, samples, write_tar) -> Path:
    """A folder with train-0 and train-1, each with six labelled images, and class names."""
    folder = tmp_path / "shards"
    folder.mkdir()
    write_tar(folder / "train-0.tar", samples(range(6)))
    write_tar(folder / "train-1.tar", samples(range(6, 12)))
    (folder / "classes.json").write_text(json.dumps(["cat", {"name": "dog"}, "owl"]))
    return folder


@pytest.fixture(scope="session")
def compress():
    """Replaces a tar by its gzip-compressed form."""

    def run(path: Path) -> Path:
        packed = path.with_name(path.name + ".gz")
        packed.write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
        return packed

    return run


@pytest.fixture
def image_folder(tmp_path, encoded) -> Path:
    """Twelve images in the class folders cat and dog, and files that are not images."""
    root = tmp_path / "images"
    for number in range(12):
        path = root / ("cat" if number % 3 else "dog") / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(number))
    (root / "notes.txt").write_text("not an image")
    (root / ".hidden.png").write_bytes(b"")
    (root / ".git").mkdir()
    (root / ".git" / "x.png").write_bytes(b"")
    return root
