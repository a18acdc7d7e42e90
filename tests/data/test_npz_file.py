from __future__ import annotations

import numpy as np
import pytest

from mimic_ray.base.errors import DataError
from mimic_ray.data.decode import decode
from mimic_ray.data.image_source import open_images


def test_images_keep_every_pixel(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 6, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", x=images, y=np.arange(5)[:, None])
    source = open_images(tmp_path / "a.npz")
    assert np.array_equal(np.stack([decode(source.read(row)) for row in range(5)]), images)
    assert source.labels == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"t": np.zeros(3)}, 'needs "x"'),
        ({"x": np.zeros((2, 4, 4, 3))}, "expected uint8"),
        ({"x": np.zeros((2, 4, 4), np.uint8)}, "expected uint8"),
        ({"x": np.zeros((0, 4, 4, 3), np.uint8)}, "no images"),
        ({"x": np.zeros((2, 4, 4, 3), np.uint8), "y": np.arange(3)}, "one integer for each"),
        ({"x": np.array([{}, {}])}, "not an npz file of images"),
    ],
)
def test_files_with_other_content_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=message):
        open_images(tmp_path / "a.npz")


def test_damaged_and_foreign_files_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((9, 8, 8, 3), np.uint8))
    whole = (tmp_path / "a.npz").read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for content in (b"", b"<html>", whole[:-100], whole[:40], bytes(flipped)):
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(DataError, match=r"a\.npz"):
            open_images(tmp_path / "a.npz")


def test_a_file_that_unpacks_beyond_the_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("mimic_ray.data.npz_file._LIMIT_BYTES", 1 << 20)
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros((600, 32, 32, 3), np.uint8))
    with pytest.raises(DataError, match="over the limit of 1 MiB"):
        open_images(tmp_path / "a.npz")
