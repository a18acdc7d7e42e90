"""What others leave in a run folder: recovered or explained, and never trained on."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from mimic_ray.store.checkpoint import latest
from mimic_ray.store.run_folder import RunFolder
from tests.store.short_runs import make_inputs, purify, stop_at_the_end


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    found = make_inputs(tmp_path_factory.mktemp("orphans"))
    assert purify(found, found / "whole") == 0
    stop_at_the_end(found, found / "stopped")
    return found


@pytest.fixture
def stopped(place, tmp_path):
    """A run after step 4 of 6, to spoil."""
    shutil.copytree(place / "stopped", tmp_path / "run")
    return tmp_path / "run"


def ends_as_if_nothing_had_been(place: Path, run: Path) -> bool:
    assert purify(place, run, "--resume") == 0
    ours, theirs = (folder / "student.safetensors" for folder in (run, place / "whole"))
    return ours.read_bytes() == theirs.read_bytes()


def test_rays_own_folder_may_be_damaged_in_any_way(place, stopped):
    """Its state is not ours (docs/decisions/0001): neither read nor kept."""
    ray = stopped / ".ray" / "run-1"
    ray.mkdir(parents=True)
    (ray / "checkpoint_manager_snapshot.json").write_bytes(b"{\x00\xff torn")
    (ray / "checkpoint_000001").mkdir()
    (ray / "gone").symlink_to("nowhere")
    os.mkfifo(ray / "pipe")
    assert ends_as_if_nothing_had_been(place, stopped)
    assert not (stopped / ".ray").exists()


@pytest.mark.parametrize("name", ["step-000006", "step-000099", "step-000001"])
def test_an_orphaned_step_is_neither_read_nor_kept(place, stopped, name):
    """Renamed into place by a writer that was killed before it could name it in latest.json."""
    orphan = stopped / "checkpoints" / name
    shutil.copytree(stopped / "checkpoints" / "step-000002", orphan)
    (orphan / "tensors.safetensors").write_bytes(b"torn")
    assert ends_as_if_nothing_had_been(place, stopped)
    steps = sorted(path.name for path in (stopped / "checkpoints").glob("step-*"))
    assert steps == ["step-000004", "step-000006"]
    found = latest(RunFolder.open(stopped))
    assert found is not None
    assert found.step == 6


def test_what_killed_writers_left_is_swept(place, stopped):
    (stopped / "checkpoints" / ".step-000006.tmp-1-aa").mkdir()
    (stopped / "checkpoints" / ".step-000006.tmp-1-aa" / "tensors.safetensors").write_bytes(b"")
    (stopped / ".run.json.tmp-1-bb").write_bytes(b"{")
    (stopped / ".export.tmp-1-cc").mkdir()
    assert ends_as_if_nothing_had_been(place, stopped)
    assert not [*stopped.rglob("*.tmp-*")]


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("torn", ["missing", "empty", "half"])
def test_a_torn_committed_step_is_named_with_the_way_out_which_works(
    place, stopped, name, torn, capsys
):
    step = stopped / "checkpoints" / "step-000004"
    content = (step / name).read_bytes()
    (step / name).unlink()
    if torn != "missing":
        (step / name).write_bytes(content[: len(content) // 2] if torn == "half" else b"")
    capsys.readouterr()
    assert purify(place, stopped, "--resume") == 1
    sentence = capsys.readouterr().err
    assert f"step-000004/{name} is damaged" in sentence
    assert f"or delete {step} to go on from step 2" in sentence
    shutil.rmtree(step)
    assert ends_as_if_nothing_had_been(place, stopped)


def test_a_latest_json_that_is_torn_is_named(place, stopped, capsys):
    pointer = stopped / "checkpoints" / "latest.json"
    pointer.write_bytes(pointer.read_bytes()[:-20])
    assert purify(place, stopped, "--resume") == 1
    assert "latest.json is damaged" in capsys.readouterr().err
