"""Atomic writes, and the errors of a full or failing disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from mimic_ray.base import files
from mimic_ray.base.errors import DiskError, DiskFullError, MimicError, WrongFolderError


def failing(number):
    def fsync(descriptor):  # noqa: ARG001 - as os.fsync
        raise OSError(number, os.strerror(number))

    return fsync


def test_a_failed_write_keeps_the_old_content_and_no_temporary_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    files.write_bytes(path, b"old")
    monkeypatch.setattr(os, "fsync", failing(errno.EINTR))
    with pytest.raises(OSError, match="Interrupted"):
        files.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [path]


def test_a_new_folder_appears_only_when_the_block_succeeds(tmp_path):
    with pytest.raises(ZeroDivisionError), files.new_folder(tmp_path / "out") as folder:
        (folder / "part").write_bytes(bytes(1 // 0))
    assert not [*tmp_path.iterdir()]
    with files.new_folder(tmp_path / "out") as folder:
        (folder / "part").write_bytes(b"1")
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "out" / "part").read_bytes() == b"1"


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.ENOSPC, DiskFullError), (errno.EDQUOT, DiskFullError), (errno.EIO, DiskError)],
)
def test_a_disk_error_names_the_folder_and_does_not_advise_resume(
    tmp_path, monkeypatch, number, kind
):
    monkeypatch.setattr(os, "fsync", failing(number))
    with pytest.raises(kind, match=f"disk of {tmp_path}") as caught:
        files.write_bytes(tmp_path / "file", b"new")
    assert "resume" not in caught.value.for_command_line()
    assert "again" in caught.value.message


def test_the_caller_sets_the_advice_for_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", failing(errno.ENOSPC))
    with pytest.raises(DiskFullError) as caught, files.disk_errors(tmp_path, "Buy a larger one."):
        files.write_bytes(tmp_path / "file", b"new")
    assert caught.value.message == f"No space left on the disk of {tmp_path}. Buy a larger one."


@pytest.mark.parametrize(
    "error", [PermissionError(errno.EACCES, "denied"), KeyError("x"), MimicError("mine")]
)
def test_other_errors_pass_through_unchanged(tmp_path, error):
    with pytest.raises(type(error)) as caught, files.disk_errors(tmp_path / "file", "Advice."):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
        OSError("No space left on device"),
    ],
)
def test_a_full_disk_is_recognised_in_the_message_of_a_library(tmp_path, error):
    with pytest.raises(DiskFullError), files.disk_errors(tmp_path / "file"):
        raise error


def test_make_folder_makes_every_folder_above_durable(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(files, "sync_folder", synced.append)
    files.make_folder(tmp_path / "a" / "b")
    assert synced == [tmp_path, tmp_path / "a"]
    files.make_folder(tmp_path / "a" / "b")
    assert len(synced) == 2


@pytest.mark.parametrize("out", ["/proc/x/run", "{file}/run", "{file}/a/b", "{long}"])
def test_a_folder_that_cannot_be_made_is_refused_and_nothing_is_left(tmp_path, out):
    file = tmp_path / "file"
    file.write_text("x")
    folder = Path(out.format(file=file, long=tmp_path / ("x" * 300)))
    with pytest.raises(WrongFolderError, match=r"cannot be created \(.+\): set out= to another"):
        files.require_creatable(folder)
    assert [*tmp_path.iterdir()] == [file]


def test_a_folder_that_can_be_made_is_not_made(tmp_path):
    files.require_creatable(tmp_path / "a" / "b")
    files.require_creatable(tmp_path)
    assert [*tmp_path.iterdir()] == []
