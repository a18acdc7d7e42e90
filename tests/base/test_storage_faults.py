"""A server that fails now and then: what was there before stays, what is read is whole."""

from __future__ import annotations

import pytest

from mimic_ray.base.errors import StorageAwayError
from mimic_ray.base.storage import open_storage
from tests.store.flaky_s3 import door


@pytest.fixture
def flaky(bucket, s3_server, monkeypatch):
    """make(seed, rate) -> (door, the storage behind it)."""
    opened = []

    def make(seed=0, rate=0.0):
        opening = door(s3_server["AWS_ENDPOINT_URL"], seed, rate)
        opened.append(opening)
        made = opening.__enter__()
        monkeypatch.setenv("AWS_ENDPOINT_URL", made.endpoint)
        return made, open_storage(bucket)

    yield make
    for opening in opened:
        opening.__exit__(None, None, None)


@pytest.mark.parametrize("passed", [0, 1, 2])
def test_a_write_that_fails_leaves_what_was_there(flaky, monkeypatch, passed):
    made, storage = flaky()
    storage.write("latest.json", b"before")
    # An upload is opened, sent and completed: the first requests pass, the others do not.
    faults = iter([""] * passed)
    with monkeypatch.context() as patch:
        patch.setattr(made, "fault", lambda: next(faults, "503"))
        with pytest.raises(StorageAwayError, match="latest"):
            storage.write("latest.json", b"after")
    assert storage.read_bytes("latest.json") == b"before"


def test_a_file_that_cannot_be_read_replaces_nothing(flaky, tmp_path):
    _, storage = flaky()
    storage.write("latest.json", b"before")
    with pytest.raises(Exception, match="does not exist"):
        storage.write("latest.json", tmp_path / "missing")
    assert storage.read_bytes("latest.json") == b"before"


def test_what_is_read_through_a_bad_line_is_whole_or_an_error(flaky):
    made, storage = flaky()
    content = bytes(i % 251 for i in range(3 << 20))
    storage.write("big", content)
    made.fail(1, 0.4)
    read = failed = 0
    for _ in range(15):
        try:
            assert storage.read_bytes("big") == content
            read += 1
        except StorageAwayError:
            failed += 1
    assert read
    assert sum(made.met.values()) > made.met[""]
    assert made.met["cut"]
