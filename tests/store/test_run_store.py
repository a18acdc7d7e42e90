"""A run in both backends: what one process commits and publishes, another one reads."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mimic_ray.base.errors import DamagedCheckpointError, RunFolderError
from mimic_ray.base.storage import open_storage
from mimic_ray.store.checkpoint import latest
from mimic_ray.store.run_folder import RunFolder
from mimic_ray.store.run_record import read_record
from mimic_ray.store.run_store import is_run, open_run, reading


@pytest.fixture
def run(location, record):
    made = open_run(location, "driver")
    made.require_free()
    RunFolder.create(made.folder.path, record)
    made.store.publish("run.json")
    yield made
    made.close()


def another(location):
    """The run as another machine sees it."""
    opened = open_run(location, "other")
    opened.fetch()
    return opened


def test_a_run_is_found_by_others(run, location, record):
    assert is_run(location)
    assert read_record(another(location).folder.record) == record
    run.write_record(replace(record, status="failed", error="The disk is full."))
    assert read_record(another(location).folder.record).error == "The disk is full."


def test_a_folder_of_weights_is_no_run(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "model.safetensors").write_bytes(b"x")
    assert is_run(tmp_path / "empty")
    assert not is_run(tmp_path / "hub")
    (tmp_path / "hub" / "run.json").write_text("{}")
    assert is_run(tmp_path / "hub")


def test_a_location_with_a_run_is_refused_with_a_summary(run, location):
    with pytest.raises(
        RunFolderError, match=r"another run \(running, tiny_resnet.*resume=True.*out="
    ):
        another(location).require_free()
    (run.folder.record).write_text("{")
    run.store.publish("run.json")
    with pytest.raises(RunFolderError, match=r"another run \(its run.json is damaged\): set ano"):
        open_run(location, "third").require_free()


@pytest.mark.parametrize(
    ("end", "is_over"),
    [
        ({"status": "stopped"}, False),
        ({"status": "failed"}, False),
        ({"status": "failed", "diverged": True}, True),
        ({"status": "finished"}, True),
    ],
)
def test_resume_is_offered_only_where_it_leads_on(run, location, record, end, is_over):
    run.write_record(replace(record, **end))
    with pytest.raises(RunFolderError) as caught:
        another(location).require_free()
    assert "another out=" in caught.value.message
    assert ("resume=" in caught.value.message) is not is_over


def test_committed_steps_are_read_by_others_with_their_metrics(run, location):
    run.folder.metrics_log.write_text('{"step": 1}\n')
    for step in (1, 2, 3):
        run.commit(step, {"step": step})
        run.commit(step, {"step": step})  # the same again changes nothing
        found = another(location)
        assert latest(found.folder).state == {"step": step}
        assert found.folder.metrics_log.exists()


def test_after_the_latest_step_was_deleted_the_one_before_is_used(run, location):
    for step in (1, 2):
        run.commit(step, {"step": step})
    storage = open_storage(location)
    for name in [found.name for found in storage.list() if "step-000002" in found.name]:
        storage.delete(name)
    if not run.store.is_remote:
        (run.folder.checkpoints / "step-000002").rmdir()
    assert latest(another(location).folder).step == 1
    again = another(location)
    again.commit(2, {"step": 2})
    assert latest(another(location).folder).step == 2


def test_a_flipped_byte_is_reported(run, location):
    run.commit(1, {"step": 1})
    storage = open_storage(location)
    (name,) = [found.name for found in storage.list() if found.name.endswith("/state.json")]
    content = bytearray(storage.read_bytes(name))
    content[3] ^= 1
    storage.write(name, bytes(content))
    with pytest.raises(DamagedCheckpointError, match=r"state\.json is damaged"):
        latest(another(location).folder)


def test_results_are_published_and_the_log_of_metrics_is_deleted(run, location):
    run.folder.export.mkdir()
    (run.folder.export / "student.pth").write_text("weights")
    run.folder.metrics_log.write_text("")
    run.store.publish("metrics.jsonl")
    run.publish_results()
    names = [found.name for found in open_storage(location).list()]
    assert "export/student.pth" in names
    assert "metrics.jsonl" not in names


def test_the_end_of_a_command_deletes_temporary_files_and_the_lease(run, location):
    run.lease.take()
    open_storage(location).write(".ray/train/result.json", b"")
    run.folder.worker_log.write_text("lines")
    run.close()
    names = [found.name for found in open_storage(location).list()]
    assert sorted(names) == ["ray.log", "run.json"]


def test_a_reader_sees_the_results_and_errors_name_the_location(run, location):
    run.commit(1, {"step": 1})
    with reading(location) as folder:
        assert folder.record.exists()
    missing = pytest.raises(RunFolderError, match=f"{location}/student.safetensors is missing")
    with missing, reading(location) as folder:
        raise RunFolderError(f"{folder.student} is missing.")


def test_checkpoints_are_deleted(run, location):
    run.commit(1, {"step": 1})
    run.delete_checkpoints()
    assert latest(another(location).folder) is None
