from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from mimic_ray.base.errors import BrokenImageError, DataError, StorageError, UsageError
from mimic_ray.base.storage import Storage, open_storage
from mimic_ray.data import remote_file, remote_shards
from mimic_ray.data.image_source import open_images
from mimic_ray.data.labelled import open_some
from mimic_ray.data.shard_check import summary
from mimic_ray.data.shard_writer import build

pytestmark = pytest.mark.usefixtures("bucket")


@pytest.fixture
def local(image_folder, tmp_path):
    """Twelve labelled images in three shards, with a manifest."""
    build(open_images(image_folder), tmp_path / "local", per_shard=4)
    return tmp_path / "local"


def upload(folder, address, without=()) -> str:
    storage = open_storage(address)
    for path in sorted(folder.iterdir()):
        if path.name not in without:
            storage.write(path.name, path)
    return address


@pytest.fixture
def place(local, bucket) -> str:
    return upload(local, f"{bucket}/sets/one")


@pytest.fixture
def bare(local, bucket) -> str:
    """The same shards alone."""
    return upload(local, f"{bucket}/sets/bare", without=("manifest.parquet", "set.json"))


@pytest.fixture
def requests(monkeypatch) -> list[tuple[str, int, int]]:
    """(name, offset, size) of every range that is read."""
    asked = []
    read_range = Storage.read_range

    def recorded(self, name, offset, size):
        asked.append((name, offset, size))
        return read_range(self, name, offset, size)

    monkeypatch.setattr(Storage, "read_range", recorded)
    return asked


@pytest.mark.parametrize("form", ["place", "bare"])
def test_a_remote_set_is_the_local_one_image_by_image(local, request, form):
    here, there = open_images(local), open_images(request.getfixturevalue(form))
    assert there.keys == here.keys
    assert there.fingerprint == here.fingerprint
    assert there.labels == here.labels
    assert there.classes == here.classes == ["cat", "dog"]
    assert [there.read(row) for row in range(12)] == [here.read(row) for row in range(12)]
    assert there.read_many([7, 0, 7]) == [here.read(7), here.read(0), here.read(7)]


def test_with_a_manifest_opening_reads_not_one_byte_of_a_shard(place, requests):
    open_images(place)
    assert requests == []


def test_without_a_manifest_each_shard_is_read_once_from_start_to_end(bare, requests, monkeypatch):
    monkeypatch.setattr(remote_file, "_BLOCK_BYTES", 1024)
    sizes = {found.name: found.size for found in open_storage(bare).list()}
    open_images(bare)
    for name in ("images-00000.tar", "images-00001.tar", "images-00002.tar"):
        blocks = [offset for asked, offset, size in requests if asked == name and size == 1024]
        assert sorted(blocks) == list(range(0, sizes[name], 1024))
    requests.clear()
    open_images(bare)  # remembered
    assert requests == []


def test_a_shard_that_is_replaced_is_indexed_anew(bare, encoded, write_tar, tmp_path):
    open_images(bare)
    tar = write_tar(tmp_path / "new.tar", {"other.png": encoded(50)})
    open_storage(bare).write("images-00001.tar", tar)
    assert "other" in open_images(bare).keys


def test_several_processes_index_a_shard_once(bare):
    script = (
        "import sys; from mimic_ray.base.storage import Storage;"
        "from mimic_ray.data.image_source import open_images; read = Storage.read_range;\n"
        "def told(self, name, offset, size): print('read', name); "
        "return read(self, name, offset, size)\n"
        "Storage.read_range = told\n"
        f"open_images({bare!r})"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = "".join(child.communicate(timeout=60)[0] for child in children)
    assert said.count("read images-00000.tar") == 2  # its first bytes, and its one block


def test_images_that_lie_close_are_one_request_and_distant_ones_are_not(
    place, requests, monkeypatch
):
    source = open_images(place)
    source.read_many(range(12))
    assert len(requests) == 3  # one a shard
    requests.clear()
    monkeypatch.setattr(remote_shards, "_GAP_BYTES", 0)
    source.read_many([0, 3, 5])
    sizes = [source.entries[row].size for row in (0, 3, 5)]
    assert sorted(size for _, _, size in requests) == sorted(sizes)
    requests.clear()
    monkeypatch.setattr(remote_shards, "_GAP_BYTES", 1 << 20)
    monkeypatch.setattr(remote_shards, "_RUN_BYTES", 3000)
    source.read_many(range(12))
    assert len(requests) > 3
    assert max(size for _, _, size in requests) <= 3000


@pytest.mark.parametrize(
    "last", ["images-*.tar", "images-{00000..00002}.tar", "images-0000[012].tar"]
)
def test_patterns_name_the_same_shards_as_their_folder(place, last):
    assert open_images(f"{place}/{last}").fingerprint == open_images(place).fingerprint


def test_one_tar_alone_is_a_set(place):
    assert len(open_images(f"{place}/images-00001.tar")) == 4


def test_long_names_do_not_hinder_streaming(bucket, encoded, write_tar, tmp_path):
    folder = tmp_path / "long"
    folder.mkdir()
    members = {"short.png": encoded(0), "x" * 150 + ".png": encoded(1), "y.png": encoded(2)}
    write_tar(folder / "a.tar", members, tarfile.GNU_FORMAT)
    source = open_images(upload(folder, f"{bucket}/long"))
    assert source.keys == [name[:-4] for name in members]
    assert [source.read(row) for row in range(3)] == [encoded(row) for row in range(3)]


def test_a_cut_shard_is_named_with_and_without_a_manifest(place, bare, local):
    content = (local / "images-00001.tar").read_bytes()
    for address in (place, bare):
        open_storage(address).write("images-00001.tar", content[:3000])
        with pytest.raises(DataError, match=r"s3://.*/images-00001\.tar .*(cut|built with)"):
            open_images(address)


def test_a_missing_shard_is_named(place):
    open_storage(place).delete("images-00002.tar")
    with pytest.raises(DataError, match=r"images-00002\.tar does not exist, .* names 4 images"):
        open_images(place)
    with pytest.raises(DataError, match=r"images-00009\.tar does not exist"):
        open_images(f"{place}/images-{{00000,00009}}.tar")


def test_an_image_that_is_not_what_was_indexed_is_broken(place, local):
    source = open_images(place)
    content = bytearray((local / "images-00000.tar").read_bytes())
    content[source.entries[1].offset + 50] ^= 1
    open_storage(place).write("images-00000.tar", bytes(content))
    assert source.read(0)
    with pytest.raises(BrokenImageError, match="is not what was indexed"):
        source.read(1)


def test_an_image_over_the_limit_is_broken_and_not_fetched(place, requests, monkeypatch):
    source = open_images(place)
    monkeypatch.setattr(remote_shards, "IMAGE_LIMIT_BYTES", 10)
    with pytest.raises(BrokenImageError, match="over the limit"):
        source.read(0)
    assert requests == []


def test_a_storage_that_goes_away_is_no_broken_image(place):
    source = open_images(place)
    open_storage(place).delete("images-00000.tar")
    with pytest.raises(StorageError, match=r"images-00000\.tar does not exist"):
        source.read(0)


def test_compressed_shards_are_refused_with_the_way_out(bucket, local):
    content = gzip.compress((local / "images-00000.tar").read_bytes())
    open_storage(f"{bucket}/zip").write("a.tar.gz", content)
    with pytest.raises(DataError, match=r"a\.tar\.gz is compressed.*plain \.tar"):
        open_images(f"{bucket}/zip")


@pytest.mark.parametrize(
    ("last", "error", "said"),
    [
        ("nothing", DataError, "holds no .tar shards, nothing"),
        ("texts", DataError, "only 1 other file"),
        ("texts/a.tar", DataError, "a.tar does not exist"),
    ],
)
def test_places_without_shards_are_named(bucket, last, error, said):
    open_storage(f"{bucket}/texts").write("a.txt", b"text")
    with pytest.raises(error, match=said):
        open_images(f"{bucket}/{last}")


def test_other_schemes_are_refused():
    with pytest.raises(UsageError, match="ftp"):
        open_images("ftp://host/shards")


def test_a_file_address_is_a_path(local):
    assert open_images(f"file://{local}").fingerprint == open_images(local).fingerprint


def test_some_images_of_a_remote_set_are_asked_for_together(place, requests):
    some = open_some(place, 6)
    assert some.read_many([0, 5]) == [open_images(place).read(0), open_images(place).read(10)]
    assert len(requests) == 4


def test_a_remote_set_has_a_summary(place):
    assert summary(place).images == 12
    assert json.dumps(summary(place).lines())


def test_threads_may_read_at_once(place, local):
    source, here = open_images(place), open_images(local)
    rows = [number % 12 for number in range(200)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(source.read, rows)) == [here.read(row) for row in rows]
