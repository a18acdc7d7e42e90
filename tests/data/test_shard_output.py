"""A set built at an address is whole or refused, and the same command continues it."""

from __future__ import annotations

import pytest

from mimic_ray.base.errors import DataError, StorageAwayError, WrongFolderError
from mimic_ray.base.storage import Storage, open_storage
from mimic_ray.data.image_source import open_images
from mimic_ray.data.image_subset import ImageSubset
from mimic_ray.data.manifest import BUILDING, MANIFEST
from mimic_ray.data.shard_writer import build

pytestmark = pytest.mark.usefixtures("bucket")


@pytest.fixture
def written(monkeypatch) -> list[str]:
    """The names that are stored or deleted ("-name") at any address, in order."""
    names = []
    write, delete = Storage.write, Storage.delete

    def recorded(self, name, content):
        write(self, name, content)
        names.append(name)

    def deleted(self, name):
        delete(self, name)
        names.append(f"-{name}")

    monkeypatch.setattr(Storage, "write", recorded)
    monkeypatch.setattr(Storage, "delete", deleted)
    return names


@pytest.fixture
def interrupted(image_folder, bucket, monkeypatch) -> str:
    """A set of four shards of which two were stored when the storage went away."""
    write = Storage.write

    def fails(self, name, content):
        if name == "images-00002.tar":
            raise StorageAwayError("The storage is away.")
        write(self, name, content)

    with monkeypatch.context() as patched:
        patched.setattr(Storage, "write", fails)
        with pytest.raises(StorageAwayError, match="is away"):
            build(open_images(image_folder), f"{bucket}/set", per_shard=3)
    return f"{bucket}/set"


def stored(address: str) -> dict[str, bytes]:
    storage = open_storage(address)
    return {found.name: storage.read_bytes(found.name) for found in storage.list()}


def local(folder, out, per_shard: int = 3) -> dict[str, bytes]:
    build(open_images(folder), out, per_shard=per_shard)
    return {path.name: path.read_bytes() for path in out.iterdir()}


def test_a_set_at_an_address_has_the_bytes_of_a_local_one(image_folder, bucket, tmp_path, written):
    built = build(open_images(image_folder), f"{bucket}/set", per_shard=3)
    assert stored(f"{bucket}/set") == local(image_folder, tmp_path / "set")
    assert open_images(f"{bucket}/set").fingerprint == built.facts.fingerprint
    # Until the manifest is there, the set is marked.
    assert written[2] == BUILDING
    assert written[-2:] == [MANIFEST, f"-{BUILDING}"]
    assert not list((tmp_path / "cache" / "tars").iterdir())


def test_at_most_two_shards_are_on_the_disk_of_the_builder(image_folder, bucket, tmp_path):
    seen = []

    def count(*_):
        seen.append(len(list((tmp_path / "cache" / "tars").glob("*/*.tar"))))

    write, source = Storage.write, open_images(image_folder)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Storage, "write", lambda *a: (count(), write(*a)))
        build(source, f"{bucket}/set", per_shard=1)
    assert 1 <= max(seen) <= 2


def test_an_unfinished_set_is_refused_and_the_same_command_continues_it(
    interrupted, image_folder, tmp_path, written
):
    assert set(stored(interrupted)) == {BUILDING, "images-00000.tar", "images-00001.tar"}
    with pytest.raises(DataError, match=r"s3://.*/set is a set whose build has not ended"):
        open_images(interrupted)
    build(open_images(image_folder), interrupted, per_shard=3)
    assert [name for name in written if name.startswith("images-")] == [
        "images-00002.tar",
        "images-00003.tar",
    ]
    assert stored(interrupted) == local(image_folder, tmp_path / "set")


def test_a_stored_shard_of_another_size_is_stored_again(interrupted, image_folder, tmp_path):
    open_storage(interrupted).write("images-00001.tar", b"a part")
    build(open_images(image_folder), interrupted, per_shard=3)
    assert stored(interrupted) == local(image_folder, tmp_path / "set")


@pytest.mark.parametrize("case", ["other images", "other settings", "fewer images"])
def test_an_unfinished_set_is_not_continued_with_something_else(
    case, interrupted, image_folder, encoded
):
    before = stored(interrupted)
    if case == "other images":
        (image_folder / "cat" / "01.png").write_bytes(encoded(77))
    source = open_images(image_folder)
    if case == "fewer images":
        source = ImageSubset(source, [0, 1, 2])
    per_shard = 4 if case == "other settings" else 3
    with pytest.raises(WrongFolderError, match=r"unfinished set of other images .* out="):
        build(source, interrupted, per_shard=per_shard)
    assert stored(interrupted) == before


@pytest.mark.parametrize("name", ["mine.txt", MANIFEST, "images-00000.tar"])
def test_what_lies_at_the_address_is_kept(name, image_folder, bucket):
    open_storage(f"{bucket}/set").write(name, b"mine")
    with pytest.raises(WrongFolderError, match=f'holds "{name}": set .*out.* empty'):
        build(open_images(image_folder), f"{bucket}/set")
    assert stored(f"{bucket}/set") == {name: b"mine"}


def test_too_many_broken_images_leave_nothing(image_folder, bucket):
    for path in sorted(image_folder.glob("*/*.png"))[-2:]:
        path.write_bytes(b"\x89PNG\r\n\x1a\n broken")
    with pytest.raises(DataError, match="broken"):
        build(open_images(image_folder), f"{bucket}/set", per_shard=3)
    assert stored(f"{bucket}/set") == {}


def test_a_stopped_build_can_be_continued(image_folder, bucket, tmp_path):
    def stop(done: int, _: int) -> None:
        if done:
            raise KeyboardInterrupt

    source = open_images(image_folder)
    with pytest.raises(KeyboardInterrupt):
        build(source, f"{bucket}/set", per_shard=3, progress=stop)
    assert not list((tmp_path / "cache" / "tars").iterdir())
    build(source, f"{bucket}/set", per_shard=3)
    assert stored(f"{bucket}/set") == local(image_folder, tmp_path / "set")
