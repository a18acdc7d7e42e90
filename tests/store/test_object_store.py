from __future__ import annotations

import os

import pytest

from mimic_ray.store import object_store
from mimic_ray.store.object_store import ObjectStore


@pytest.fixture
def address(bucket, tmp_path, monkeypatch) -> str:
    monkeypatch.setenv("MIMIC_RAY_CACHE", str(tmp_path / "cache"))
    return f"{bucket}/run"


def test_two_commands_on_one_machine_have_separate_folders(address):
    first, second = ObjectStore(address, "driver"), ObjectStore(address, "driver")
    assert first.folder != second.folder
    first.close()
    assert ObjectStore(address, "driver").folder == first.folder


def test_copies_are_deleted_at_the_end(address, tmp_path):
    store = ObjectStore(address, "driver")
    store.folder.mkdir(parents=True)
    (store.folder / "run.json").write_text("{}")
    store.publish("run.json")
    store.close()
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_copies_of_a_killed_process_are_deleted_by_the_next(address):
    killed = ObjectStore(address, "driver")
    killed.folder.mkdir(parents=True)
    (killed.folder / "ray.log").write_text("of a run that was killed")
    os.close(killed._descriptor)  # as the system does it
    store = ObjectStore(address, "driver")
    assert store.folder == killed.folder
    assert store.names() == []
    assert not store.folder.exists()


def test_a_log_that_is_being_written_stays(address):
    store = ObjectStore(address, "driver")
    store.folder.mkdir(parents=True)
    (store.folder / "ray.log").write_text("first lines")
    (store.folder / "old.json").write_text("")
    store.fetch(lambda name: True)
    assert [path.name for path in store.folder.iterdir()] == ["ray.log"]


def test_descriptor_0_is_unlocked(address, monkeypatch):
    """A daemon may have closed its standard input, so that the lock gets descriptor 0."""
    unlocked = []
    monkeypatch.setattr(object_store, "try_lock", lambda _: 0)
    monkeypatch.setattr(object_store, "unlock_and_remove", lambda *held: unlocked.append(held[1]))
    ObjectStore(address, "driver").close()
    assert unlocked == [0]
