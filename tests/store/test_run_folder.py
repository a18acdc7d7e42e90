from __future__ import annotations

import pytest

from mimic_ray.base.errors import RunFolderError
from mimic_ray.store.run_folder import RunFolder
from mimic_ray.store.run_record import read_record


def test_a_new_run_is_found_again(tmp_path, record):
    made = RunFolder.create(tmp_path / "deep" / "run", record)
    assert RunFolder.open(tmp_path / "deep" / "run") == made
    assert read_record(made.record) == record


def test_a_creation_that_was_killed_does_not_block_the_next(tmp_path, record):
    (tmp_path / ".run.json.tmp-1-aa").write_text("half a rec")
    RunFolder.create(tmp_path, record)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_folder_without_a_run_is_not_opened(tmp_path):
    with pytest.raises(RunFolderError, match=r"is not a run folder: it has no run\.json"):
        RunFolder.open(tmp_path)


def test_only_leftovers_are_removed(folder):
    leftover = folder.checkpoints / ".step-000003.tmp-1-aa"
    leftover.mkdir(parents=True)
    (leftover / "tensors.safetensors").touch()
    (folder.path / ".recipe.toml.tmp-2-bb").touch()
    folder.recipe.touch()
    folder.remove_leftovers()
    found = {path.relative_to(folder.path).as_posix() for path in folder.path.rglob("*")}
    assert found == {"run.json", "recipe.toml", "checkpoints"}
