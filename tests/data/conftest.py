"""Small images in every wrapping, and a cache folder that dies with the test."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("MIMIC_RAY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def encoded():
    """image number -> an encoded file of noise; equal numbers give equal bytes."""

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


@pytest.fixture
def image_folder(tmp_path, encoded) -> Path:
    """Twelve images in the class folders cat and dog, and files that are none."""
    root = tmp_path / "images"
    for number in range(12):
        path = root / ("cat" if number % 3 else "dog") / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(number))
    (root / "notes.txt").write_text("no image")
    (root / ".hidden.png").write_bytes(b"")
    (root / ".git").mkdir()
    (root / ".git" / "x.png").write_bytes(b"")
    return root
