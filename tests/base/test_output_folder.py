"""The new folder that a command leaves behind: whole, or not at all, at a path or an address."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mimic_ray.base.errors import RunFolderError, StorageError
from mimic_ray.base.output_folder import Out
from mimic_ray.base.storage import Storage, open_storage


@pytest.fixture(params=["s3", "path"])
def place(request, tmp_path) -> str:
    if request.param == "s3":
        return f"{request.getfixturevalue('bucket')}/some/prefix"
    return str(tmp_path / "some" / "prefix")


def names(place: str) -> list[str]:
    return [found.name for found in open_storage(place).list()]


def make(out: Out, then: Callable[[], object] = lambda: None) -> None:
    with out.new_folder() as unfinished:
        (unfinished / "a").write_bytes(b"1")
        (unfinished / "b").write_bytes(b"2")
        then()


def test_a_folder_is_there_when_the_block_has_ended_well(place):
    out = Out(place)
    with out.new_folder() as unfinished:
        (unfinished / "a").write_bytes(b"1")
        (unfinished / "below").mkdir()
        (unfinished / "below" / "b").write_bytes(b"2")
        assert names(place) == []
    assert names(place) == ["a", "below/b"]
    assert open_storage(place).read_bytes("below/b") == b"2"
    assert str(out.at("a")) == f"{place}/a"


def test_nothing_is_there_when_it_has_not(place):
    with pytest.raises(ZeroDivisionError):
        make(Out(place), lambda: 1 / 0)
    assert names(place) == []


def test_an_upload_that_fails_takes_back_what_was_put(bucket, monkeypatch):
    out, write = Out(f"{bucket}/x"), Storage.write

    def fails(self, name, content):
        if name == "b":
            raise StorageError("the storage failed")
        write(self, name, content)

    monkeypatch.setattr(Storage, "write", fails)
    with pytest.raises(StorageError):
        make(out)
    assert names(f"{bucket}/x") == []


def test_a_place_with_something_in_it_is_refused_before_the_work(place):
    open_storage(place).write("mine", b"1")
    with pytest.raises(RunFolderError, match="empty"):
        Out(place)
    assert names(place) == ["mine"]


def test_what_a_command_left_that_was_killed_in_the_check_is_not_in_the_way(bucket):
    open_storage(f"{bucket}/some").write(".probe", b"")
    Out(f"{bucket}/some")
    assert names(f"{bucket}/some") == []


def test_a_bucket_that_is_not_there_is_refused_before_the_work(bucket):
    with pytest.raises(StorageError, match="no such bucket"):
        Out(f"{bucket}-and-no-other/x")


@pytest.mark.parametrize("location", [".", "..", "./"])
def test_the_working_folder_cannot_be_created(location, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(RunFolderError, match="is the working folder or above it"):
        Out(location)
