from __future__ import annotations

import gzip

import pytest

from mimic_ray.base.errors import DataError
from mimic_ray.data import gzip_tar
from mimic_ray.data.image_source import open_images


def test_compressed_shards_read_like_plain_ones_and_are_unpacked_once(
    shards, cache, compress, monkeypatch
):
    expected = open_images(shards)
    for path in sorted(shards.glob("*.tar")):
        compress(path)
    source = open_images(shards)
    assert source.fingerprint == expected.fingerprint
    assert source.read(7) == expected.read(7)
    monkeypatch.setattr(gzip_tar, "_unpack", lambda *_: pytest.fail("unpacked again"))
    assert len(open_images(shards)) == 12
    assert len(list((cache / "tars").iterdir())) == 2


def test_a_decompression_bomb_is_refused_before_it_fills_the_disk(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(gzip_tar, "limit_bytes", lambda packed: 100 * packed)
    (tmp_path / "a.tar").write_bytes(gzip.compress(bytes(20 << 20)))
    with pytest.raises(DataError, match="unpacks to more than"):
        open_images(tmp_path / "a.tar")
    assert not list((cache / "tars").iterdir())


def test_the_limit_allows_images_and_stops_a_bomb():
    assert gzip_tar.limit_bytes(1 << 30) < 1000 << 30
    assert gzip_tar.limit_bytes(1 << 20) >= 100 << 20


@pytest.mark.parametrize("share", [0.3, 0.99])
def test_a_truncated_gzip_file_is_refused(shards, cache, compress, share):
    path = compress(shards / "train-1.tar")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match=r"train-1\.tar\.gz is damaged"):
        open_images(shards)
    assert not list(cache.glob("tars/*.tmp*"))
