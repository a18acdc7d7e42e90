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
def address(local, bucket) -> str:
    return upload(local, f"{bucket}/sets/one")


@pytest.fixture
def bare(local, bucket) -> str:
    """The same shards without a manifest."""
    return upload(local, f"{bucket}/sets/bare", without=("manifest.parquet", "set.json"))


@pytest.fixture
def requests(monkeypatch) -> list[tuple[str, int, int]]:
    """(name, offset, size) of each range that is read."""
    made = []
    read_range = Storage.read_range

    def recorded(self, name, offset, size):
        made.append((name, offset, size))
        return read_range(self, name, offset, size)

    monkeypatch.setattr(Storage, "read_range", recorded)
    return made


@pytest.mark.parametrize("form", ["address", "bare"])
def test_a_remote_set_equals_the_local_one(local, request, form):
    here, there = open_images(local), open_images(request.getfixturevalue(form))
    assert there.keys == here.keys
    assert there.fingerprint == here.fingerprint
    assert there.labels == here.labels
    assert there.classes == here.classes == ["cat", "dog"]
    assert [there.read(row) for row in range(12)] == [here.read(row) for row in range(12)]
    assert there.read_many([7, 0, 7]) == [here.read(7), here.read(0), here.read(7)]


def test_opening_a_set_with_a_manifest_reads_no_shard(address, requests):
    open_images(address)
    assert requests == []


def test_without_a_manifest_each_shard_is_read_once_from_start_to_end(bare, requests, monkeypatch):
    monkeypatch.setattr(remote_file, "_BLOCK_BYTES", 1024)
    sizes = {found.name: found.size for found in open_storage(bare).list()}
    open_images(bare)
    for name in ("images-00000.tar", "images-00001.tar", "images-00002.tar"):
        blocks = [offset for read, offset, size in requests if read == name and size == 1024]
        assert sorted(blocks) == list(range(0, sizes[name], 1024))
    requests.clear()
    open_images(bare)  # from the cached index
    assert requests == []


def test_a_replaced_shard_is_indexed_again(bare, encoded, write_tar, tmp_path):
    open_images(bare)
    tar = write_tar(tmp_path / "new.tar", {"other.png": encoded(50)})
    open_storage(bare).write("images-00001.tar", tar)
    assert "other" in open_images(bare).keys


def test_several_processes_index_a_shard_once(bare):
    script = (
        "import sys; from mimic_ray.base.storage import Storage;"
        "from mimic_ray.data.image_source import open_images; read = Storage.read_range;\n"
        "def traced(self, name, offset, size): print('read', name); "
        "return read(self, name, offset, size)\n"
        "Storage.read_range = traced\n"
        f"open_images({bare!r})"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    output = "".join(child.communicate(timeout=60)[0] for child in children)
    assert output.count("read images-00000.tar") == 2  # its first bytes, and its one block


def test_one_request_fetches_images_that_are_close_together(address, requests, monkeypatch):
    source = open_images(address)
    source.read_many(range(12))
    assert len(requests) == 3  # one per shard
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
def test_a_pattern_selects_the_same_shards_as_their_folder(address, last):
    assert open_images(f"{address}/{last}").fingerprint == open_images(address).fingerprint


def test_one_tar_is_a_set(address):
    assert len(open_images(f"{address}/images-00001.tar")) == 4


def test_tars_with_long_names_can_be_read(bucket, encoded, write_tar, tmp_path):
    folder = tmp_path / "long"
    folder.mkdir()
    members = {"short.png": encoded(0), "x" * 150 + ".png": encoded(1), "y.png": encoded(2)}
    write_tar(folder / "a.tar", members, tarfile.GNU_FORMAT)
    source = open_images(upload(folder, f"{bucket}/long"))
    assert source.keys == [name[:-4] for name in members]
    assert [source.read(row) for row in range(3)] == [encoded(row) for row in range(3)]


def test_a_truncated_shard_is_named_with_and_without_a_manifest(address, bare, local):
    content = (local / "images-00001.tar").read_bytes()
    for each in (address, bare):
        open_storage(each).write("images-00001.tar", content[:3000])
        with pytest.raises(DataError, match=r"s3://.*/images-00001\.tar .*(truncated|built with)"):
            open_images(each)


def test_a_missing_shard_is_named(address):
    open_storage(address).delete("images-00002.tar")
    with pytest.raises(DataError, match=r"images-00002\.tar does not exist, .* lists 4 images"):
        open_images(address)
    with pytest.raises(DataError, match=r"images-00009\.tar does not exist"):
        open_images(f"{address}/images-{{00000,00009}}.tar")


def test_an_image_that_changed_since_it_was_indexed_is_broken(address, local):
    source = open_images(address)
    content = bytearray((local / "images-00000.tar").read_bytes())
    content[source.entries[1].offset + 50] ^= 1
    open_storage(address).write("images-00000.tar", bytes(content))
    assert source.read(0)
    with pytest.raises(BrokenImageError, match="changed since it was indexed"):
        source.read(1)


def test_an_image_over_the_size_limit_is_broken_and_not_fetched(address, requests, monkeypatch):
    source = open_images(address)
    monkeypatch.setattr(remote_shards, "IMAGE_LIMIT_BYTES", 10)
    with pytest.raises(BrokenImageError, match="over the limit"):
        source.read(0)
    assert requests == []


def test_a_storage_failure_is_not_a_broken_image(address):
    source = open_images(address)
    open_storage(address).delete("images-00000.tar")
    with pytest.raises(StorageError, match=r"images-00000\.tar does not exist"):
        source.read(0)


def test_compressed_shards_are_refused_with_advice(bucket, local):
    content = gzip.compress((local / "images-00000.tar").read_bytes())
    open_storage(f"{bucket}/zip").write("a.tar.gz", content)
    with pytest.raises(DataError, match=r"a\.tar\.gz is compressed.*plain \.tar"):
        open_images(f"{bucket}/zip")


@pytest.mark.parametrize(
    ("last", "message"),
    [
        ("nothing", "contains no .tar shards, nothing"),
        ("texts", "only 1 other file such as a.txt. From object storage only .tar shards"),
        ("texts/a.tar", "a.tar does not exist"),
        ("above", "no .tar shards itself, but 2 folders: train, val. .*above/train"),
        ("above/*.parquet", "above/\\*.parquet is a .parquet file. From object storage only .tar"),
        ("above/set.zip", "is a .zip file.*shards build COPY --out ADDRESS"),
    ],
)
def test_an_address_without_shards_is_named(bucket, last, message):
    open_storage(f"{bucket}/texts").write("a.txt", b"text")
    for split in ("train", "val"):
        open_storage(f"{bucket}/above/{split}").write("a.tar", b"")
    with pytest.raises(DataError, match=message):
        open_images(f"{bucket}/{last}")


def test_other_schemes_are_refused():
    with pytest.raises(UsageError, match="ftp"):
        open_images("ftp://host/shards")


def test_a_file_address_is_a_path(local):
    assert open_images(f"file://{local}").fingerprint == open_images(local).fingerprint


def test_a_subset_of_a_remote_set_is_read_in_batches(address, requests):
    some = open_some(address, 6)
    assert some.read_many([0, 5]) == [open_images(address).read(0), open_images(address).read(10)]
    assert len(requests) == 4


def test_a_remote_set_has_a_summary(address):
    assert summary(address).images == 12
    assert json.dumps(summary(address).lines())


def test_threads_can_read_at_the_same_time(address, local):
    source, here = open_images(address), open_images(local)
    rows = [number % 12 for number in range(200)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(source.read, rows)) == [here.read(row) for row in rows]
