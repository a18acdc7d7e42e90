"""The contract of a store, for both backends: one process writes and another one reads."""

from __future__ import annotations

import time

import pytest

from mimic_ray.base.errors import RunFolderError, UsageError
from mimic_ray.base.storage import open_storage
from mimic_ray.store.checkpoint import commit, latest
from mimic_ray.store.run_folder import RunFolder
from mimic_ray.store.store import Occupant, open_store, require_free


@pytest.fixture
def writer(location):
    store = open_store(location, "writer")
    store.folder.mkdir(parents=True, exist_ok=True)
    yield store
    store.close()


@pytest.fixture
def reader(location):
    store = open_store(location, "reader")
    yield store
    store.close()


def write(store, name: str, content: str) -> None:
    path = store.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def test_published_files_are_read_by_others(writer, reader):
    write(writer, "run.json", "{}")
    write(writer, "export/student.pt", "weights")
    writer.publish("run.json", "export/student.pt")
    assert reader.read("run.json") == b"{}"
    assert reader.read("missing") is None
    reader.fetch(bool)
    assert (reader.folder / "export" / "student.pt").read_text() == "weights"
    assert reader.fetch_file("run.json")
    assert not reader.fetch_file("missing")


def test_fetched_files_replace_older_ones(writer, reader):
    for content in ("old", "new"):
        write(writer, "run.json", content)
        writer.publish("run.json")
        reader.fetch(bool)
        assert (reader.folder / "run.json").read_text() == content


def test_deleted_files_are_gone_for_others(writer, reader):
    write(writer, "metrics.jsonl", "1")
    write(writer, "checkpoints/step-1/state.json", "2")
    writer.publish("metrics.jsonl", "checkpoints/step-1/state.json")
    writer.delete("metrics.jsonl")
    writer.delete("metrics.jsonl")  # a repeated one is not an error
    writer.delete_folder("checkpoints")
    writer.delete_folder("checkpoints")
    reader.fetch(bool)
    assert not [path for path in reader.folder.rglob("*") if path.is_file()]


def test_a_cleared_store_has_no_files(writer, reader):
    write(writer, "run.json", "{}")
    writer.publish("run.json")
    writer.clear()
    assert reader.read("run.json") is None
    assert reader.names() == []


def test_a_published_checkpoint_is_read_by_others(writer, reader):
    commit(RunFolder(writer.folder), 3, {"step": 3})
    writer.publish_checkpoint(3)
    reader.fetch(lambda name: not name.startswith("checkpoints/"))
    reader.fetch_checkpoint()
    assert latest(RunFolder(reader.folder)).state == {"step": 3}


def test_progress_is_shown_to_others(writer, reader):
    assert reader.try_read("progress.json") is None
    writer.try_write("progress.json", b"{}")
    until = time.monotonic() + 30
    while reader.try_read("progress.json") is None and time.monotonic() < until:
        time.sleep(0.05)
    assert reader.try_read("progress.json") == b"{}"


def test_errors_name_the_location(writer, location):
    error = RunFolderError(f"{writer.folder / 'run.json'} is damaged.")
    named = pytest.raises(RunFolderError, match=f"{location}/run.json is damaged")
    with named, writer.errors_at_location():
        raise error
    assert str(writer) == location
    assert str(writer.location("run.json")) == f"{location}/run.json"


def test_a_free_location_is_left_without_files(reader):
    require_free(reader, "run.json", "run")
    assert reader.names() == []


def test_a_used_location_is_refused(writer, reader):
    write(writer, "thesis.tex", "years of work")
    writer.publish("thesis.tex")
    with pytest.raises(
        RunFolderError, match=r'holds "thesis\.tex".*does not belong to a run.*out='
    ):
        require_free(reader, "run.json", "run")
    write(writer, "run.json", "abc")
    writer.publish("run.json")
    with pytest.raises(RunFolderError, match=r"holds another run \(abc\).*resume=True.*out="):
        require_free(reader, "run.json", "run", lambda content: Occupant(f" ({content.decode()})"))
    with pytest.raises(RunFolderError, match="holds another run: set another"):
        require_free(reader, "run.json", "run", lambda content: Occupant(can_continue=False))
    assert reader.read("thesis.tex") == b"years of work"


def test_files_below_a_location_are_found_by_the_storage_too(writer, location):
    write(writer, "run.json", "{}")
    writer.publish("run.json")
    assert open_storage(location).read_bytes("run.json") == b"{}"


def test_an_invalid_address_is_refused():
    with pytest.raises(UsageError):
        open_store("ftp://host/run", "driver")
