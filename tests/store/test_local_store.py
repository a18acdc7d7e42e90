from __future__ import annotations

import pytest

from mimic_ray.base.errors import RunFolderError
from mimic_ray.store.local_store import LocalStore
from mimic_ray.store.store import require_free


def test_a_file_instead_of_a_folder_is_refused(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(RunFolderError, match="is a file"):
        require_free(LocalStore(tmp_path / "out"), "run.json", "run")


def test_files_of_a_killed_writer_do_not_count(tmp_path):
    (tmp_path / ".run.json.tmp-1-aa").write_text("half a rec")
    assert LocalStore(tmp_path).names() == []


def test_readers_never_see_half_of_a_progress_file(tmp_path, monkeypatch):
    store = LocalStore(tmp_path)
    store.try_write("progress.json", b"old")

    def killed(*_):
        raise OSError("killed before the rename")

    monkeypatch.setattr("pathlib.Path.replace", killed)
    store.try_write("progress.json", b"new")  # does not raise
    assert store.read("progress.json") == b"old"
    assert store.names() == ["progress.json"]
