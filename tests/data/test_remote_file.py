from __future__ import annotations

import threading

import pytest

from mimic_ray.base.errors import StorageError
from mimic_ray.data import remote_file
from mimic_ray.data.remote_file import sequential

CONTENT = bytes(range(256)) * 5


class Storage:
    """A storage with one file; `requests` are the offsets that were read."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.requests: list[int] = []
        self._fails_at = fails_at

    def read_range(self, name: str, offset: int, size: int) -> bytes:
        self.requests.append(offset)
        if offset == self._fails_at:
            raise StorageError(f"{name} failed")
        return CONTENT[offset : offset + size]


@pytest.fixture(autouse=True)
def blocks_of_100_bytes(monkeypatch):
    monkeypatch.setattr(remote_file, "_BLOCK_BYTES", 100)


def test_reading_from_start_to_end_fetches_each_block_once():
    storage = Storage()
    with sequential(storage, "a", len(CONTENT)) as file:
        assert file.read() == CONTENT
    assert sorted(storage.requests) == list(range(0, len(CONTENT), 100))


def test_seeking_gives_the_bytes_at_that_offset():
    with sequential(Storage(), "a", len(CONTENT)) as file:
        for offset in (0, 250, 1000, 30, 1279, 1280, 2000):
            file.seek(offset)
            assert file.read(7) == CONTENT[offset : offset + 7]


def test_a_storage_error_reaches_the_reader_and_no_thread_remains():
    before = threading.active_count()
    with pytest.raises(StorageError), sequential(Storage(500), "a", len(CONTENT)) as file:
        file.read()
    assert threading.active_count() == before
