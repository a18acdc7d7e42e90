from __future__ import annotations

from threading import Event

from mimic_ray.base.errors import StorageError
from mimic_ray.store.background_writer import BackgroundWriter


class SlowStorage:
    """Writes when `ready` is set."""

    def __init__(self) -> None:
        self.ready, self.begun, self.written = Event(), Event(), []

    def write(self, name: str, content: bytes) -> None:
        self.begun.set()
        self.ready.wait(30)
        if content == b"bad":
            raise StorageError("Access denied.")
        self.written.append((name, content))


def test_only_the_latest_content_is_written_while_the_storage_is_slow():
    storage = SlowStorage()
    writer = BackgroundWriter(storage)
    writer.write("progress.json", b"1")
    storage.begun.wait(30)
    writer.write("progress.json", b"2")
    writer.write("progress.json", b"3")
    storage.ready.set()
    writer.settle()
    assert storage.written == [("progress.json", b"1"), ("progress.json", b"3")]


def test_errors_are_ignored_and_later_files_are_written():
    storage = SlowStorage()
    storage.ready.set()
    writer = BackgroundWriter(storage)
    writer.write("progress.json", b"bad")
    writer.settle()
    writer.write("progress.json", b"good")
    writer.settle()
    assert storage.written == [("progress.json", b"good")]
