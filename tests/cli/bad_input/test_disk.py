"""A full disk before, during and after a checkpoint."""

from __future__ import annotations

import errno
import os
import shutil
from collections import namedtuple

import pytest

from mimic_ray.store.checkpoint import committed_step, latest
from mimic_ray.store.run_folder import RunFolder
from mimic_ray.store.run_record import read_record
from tests.cli.toy_images import run, save_images


def full_disk(monkeypatch, out, once):
    """Simulates a disk that is full as soon as `once` exists in the run folder."""
    real = os.fsync

    def fsync(descriptor):
        if (out / once).exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


def test_too_little_disk_space_is_found_before_the_start(purify_refused, monkeypatch):
    usage = namedtuple("usage", "total used free")(1 << 30, (1 << 30) - (1 << 20), 1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    purify_refused([], "1 MiB free", "set --out to a folder on another disk", code=1)


def test_a_disk_that_is_full_at_the_start_leaves_no_files(purify_refused, tmp_path, monkeypatch):
    full_disk(monkeypatch, tmp_path / "folder", once="run")
    sentence = purify_refused([], "No space left", code=1)
    assert "--resume" not in sentence  # there is nothing to resume


# Before the first checkpoint and during it, when its folder exists but latest.json does not.
@pytest.mark.parametrize("once", ["metrics.jsonl", "checkpoints/step-000004"])
def test_a_run_resumes_after_the_disk_was_full(
    refused, purify_arguments, tmp_path, monkeypatch, capsys, once
):
    out = tmp_path / "run"
    words = purify_arguments(out, "--local", "--commit-every", "4", steps=8)
    with monkeypatch.context() as patch:
        full_disk(patch, out, once)
        refused(words, "No space left", "--resume", code=1)
    folder = RunFolder.open(out)
    assert committed_step(folder) is None
    assert not [path for path in out.rglob("*") if "tmp-" in path.name]
    assert run([*words, "--resume"]) == 0, capsys.readouterr().err
    state = latest(folder)
    assert state is not None
    assert state.step == 8
    assert read_record(folder.record).status == "finished"


def test_a_full_disk_keeps_the_previous_checkpoint(
    refused, purify_arguments, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "run"
    words = purify_arguments(out, "--local", "--commit-every", "4", steps=12)
    written = []
    real = os.fsync

    def fsync(descriptor):
        # The first file of the second checkpoint and all later files.
        if (out / "checkpoints" / "latest.json").exists():
            written.append(descriptor)
            if len(written) > 3:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        refused(words, "No space left", "--resume", code=1)
    state = latest(RunFolder.open(out))
    assert state is not None
    assert state.step == 4
    assert run([*words, "--resume"]) == 0, capsys.readouterr().err


def test_a_damaged_checkpoint_does_not_hide_why_a_run_failed(
    refused, purify_arguments, tmp_path, monkeypatch
):
    from mimic_ray.base.errors import TrainingError
    from mimic_ray.store import run_store

    out = tmp_path / "run"

    def broken(folder, step, state, commit=run_store.commit):
        commit(folder, step, state)
        for path in (out / "checkpoints").glob("step-*/tensors.safetensors"):
            path.write_bytes(b"")
        raise TrainingError("The loss is not finite: lower the rate.")

    monkeypatch.setattr(run_store, "commit", broken)
    refused(purify_arguments(out, "--local", "--commit-every", "4"), "The loss is not finite")
    record = read_record(out / "run.json")
    assert (record.status, record.step) == ("failed", 4)


@pytest.mark.parametrize("command", ["profile", "evaluate", "attack"])
def test_a_full_disk_does_not_advise_resume_in_commands_without_it(
    refused, case, tmp_path, monkeypatch, command
):
    out, teacher = tmp_path / "folder" / "new", case / "teacher.pth"
    images = save_images(tmp_path / "labelled", each=8, seed=0)
    test = save_images(tmp_path / "test", each=8, seed=1)
    data = ["--teacher", teacher, "--data", images]
    words = {
        "profile": ["profile", *data],
        "evaluate": ["evaluate", f"a={teacher}", "--train", images, "--test", test],
        "attack": ["attack", "badencoder", *data, "--trigger", "patch", "--target", "red"],
    }[command]
    words += {"evaluate": ["--head", "knn"], "attack": ["--steps", "1", "--batch", "8"]}.get(
        command, []
    )
    with monkeypatch.context() as patch:
        full_disk(patch, tmp_path, once="labelled")
        more = ["--encoder", "tiny_resnet", "--threads", "1", "--out", out]
        sentence = refused([*words, *more], "No space left", out.parent, code=1)
    assert "resume" not in sentence
    assert not out.exists()
