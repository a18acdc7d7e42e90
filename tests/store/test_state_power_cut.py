"""A power cut after every operation of a run's writer, on a disk that keeps what was synced."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
import torch

from mimic_ray.base import files
from mimic_ray.base.errors import MimicError, RunFolderError
from mimic_ray.store import checkpoint as protocol
from mimic_ray.store.metrics_log import MetricsLog, read_metrics
from mimic_ray.store.run_folder import RunFolder
from mimic_ray.store.run_store import open_run
from tests.store.commit_forever import commit_in_place
from tests.store.lossy_disk import LossyDisk, Moment

STEPS, EVERY = 9, 3


@pytest.fixture(autouse=True)
def _syncs_are_free(monkeypatch):
    """Only the double must know of them."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def state(step: int) -> dict:
    # Some pages, so that each may come from another time.
    return {"step": step, "weights": torch.full((5000,), float(step))}


def live(folder: RunFolder, disk: LossyDisk | None, commit: Callable) -> None:
    """A run's writes in the order of `runs.training`."""
    with MetricsLog(folder) as metrics:
        for step in range(1, STEPS + 1):
            metrics.append({"step": step, "loss": 1 / step, "why": "x" * 2000})
            if step % EVERY == 0:
                metrics.flush()
                commit(folder, step, state(step))
                if disk:
                    disk.promised = step


def moments(tmp_path, record, commit=protocol.commit, honours=lambda path: True) -> list[Moment]:
    root = tmp_path / "disk"
    root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        disk = LossyDisk(patch, root, honours)
        folder = RunFolder.create(root / "run", record)
        files.write_text(folder.recipe, "[training]\nsteps = 9\n")
        live(folder, disk, commit)
    return disk.moments


def damage(disk: Path, promised: int) -> str | None:
    """What a new start finds wrong with what is left of the run, or None."""
    try:
        open_run(disk / "run", "driver").require_free()
    except RunFolderError:
        pass  # then it must be one that can go on
    else:
        return "the whole run is gone" if promised else None
    try:
        folder = RunFolder.open(disk / "run")
        folder.remove_leftovers()
        found = protocol.latest(folder)
        step = found.step if found else 0
        if step < promised:
            return f"step {promised} was committed, step {step} is there"
        if found and not torch.equal(found.state["weights"], state(step)["weights"]):
            return "the numbers are others"
        with MetricsLog(folder, step):
            rows = [row["step"] for row in read_metrics(folder)]
        if rows != [*range(1, step + 1)]:
            return f"step {step} has rows of the steps {rows}"
        protocol.commit(folder, STEPS + 1, state(STEPS + 1))  # and it goes on
    except MimicError as error:
        return str(error)
    return None


def damages(seen: list[Moment], tmp_path: Path, cuts: int = 3) -> Iterator[str]:
    """What different cuts after each operation do, where that is damage."""
    for number, moment in enumerate(seen):
        for cut in range(cuts):
            left = tmp_path / "left"
            moment.tree.restore(left, Random(number * cuts + cut))
            if wrong := damage(left, moment.promised):
                yield f"{number}, {moment.name}: {wrong}"
            shutil.rmtree(left)


@pytest.mark.parametrize("cuts", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_after_a_power_cut_the_last_committed_step_is_whole_with_its_rows(tmp_path, record, cuts):
    seen = moments(tmp_path, record)
    assert {moment.promised for moment in seen} >= {0, 3, 6}
    assert [*damages(seen, tmp_path, cuts)] == []


def test_that_is_seen_where_the_contents_of_files_are_not_synced(tmp_path, record):
    seen = moments(tmp_path, record, honours=lambda path: path.is_dir())
    assert any("damaged" in wrong for wrong in damages(seen, tmp_path))


@pytest.mark.parametrize("name", ["run", "checkpoints"])
def test_that_is_seen_where_a_folder_is_not_synced(tmp_path, record, name):
    seen = moments(tmp_path, record, honours=lambda path: path.name != name)
    assert any(damages(seen, tmp_path))


def test_that_is_seen_where_checkpoints_are_written_in_place(tmp_path, record):
    def synced_in_place(folder, step, content):
        commit_in_place(folder, step, content)
        for path in [*folder.checkpoints.rglob("*"), folder.checkpoints, folder.path]:
            files._sync(path)

    seen = moments(tmp_path, record, commit=synced_in_place)
    assert any("damaged" in wrong for wrong in damages(seen, tmp_path))
