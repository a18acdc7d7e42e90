"""Output folders that are not empty, are damaged or have another run."""

from __future__ import annotations

import shutil

import pytest

from tests.cli.toy_images import content_of, run, save_checkpoint


@pytest.fixture(scope="module")
def finished(tmp_path_factory, purify_arguments):
    """A complete run, which tests only read."""
    out = tmp_path_factory.mktemp("finished") / "run"
    assert run(purify_arguments(out, "--local", steps=3)) == 0
    return out


def test_a_folder_with_another_run_is_not_changed(refused, purify_arguments, finished):
    before = content_of(finished)
    refused(purify_arguments(finished, "--local", steps=3), finished, "set another --out", code=2)
    assert content_of(finished) == before


def test_a_folder_with_other_files_is_not_changed(refused, purify_arguments, tmp_path):
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.tex").write_text("x")
    refused(purify_arguments(out, "--local"), out, "thesis.tex", code=2)
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]


def test_an_out_that_is_a_file_is_not_changed(refused, purify_arguments, tmp_path):
    (tmp_path / "file").write_text("x")
    refused(purify_arguments(tmp_path / "file", "--local"), "is a file", "--out", code=2)
    refused(purify_arguments(tmp_path / "file" / "run", "--local"), tmp_path / "file", code=2)
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.parametrize("command", ["purify", "tune", "profile"])
def test_a_folder_that_cannot_be_created_is_named_before_the_disk_is_measured(
    refused, purify_arguments, command
):
    words = [command, *purify_arguments("/proc/x/run")[1:]]
    words = words[: words.index("--set")]
    refused(words, "/proc/x/run cannot be created", "set --out to another folder", code=2)


def test_resume_with_other_images_is_refused(refused, purify_arguments, finished, case, tmp_path):
    images = shutil.copytree(case / "images", tmp_path / "images")
    (images / "000.png").write_bytes((images / "001.png").read_bytes())
    before = content_of(finished)
    words = purify_arguments(finished, "--local", "--resume", "--data", str(images), steps=3)
    refused(words, "images' fingerprint", "another --out", code=2)
    assert content_of(finished) == before


def test_resume_with_another_teacher_is_refused(refused, purify_arguments, finished, tmp_path):
    other = str(save_checkpoint(tmp_path / "other.safetensors", seed=5))
    before = content_of(finished)
    words = purify_arguments(finished, "--local", "--resume", "--teacher", other, steps=3)
    refused(words, "teacher's sha256", "another --out", code=2)
    assert content_of(finished) == before


def test_resume_with_another_recipe_is_refused(refused, purify_arguments, finished):
    before = content_of(finished)
    words = purify_arguments(finished, "--local", "--resume", steps=4)
    refused(words, "training.steps was 3, is 4 now", "another --out", code=2)
    assert content_of(finished) == before


def test_resume_without_a_run_is_refused(purify_refused, refused, purify_arguments, tmp_path):
    purify_refused(["--resume"], "is not a run folder", code=2)
    (tmp_path / "empty").mkdir()
    refused(
        purify_arguments(tmp_path / "empty", "--local", "--resume"), "is not a run folder", code=2
    )
    assert not [*(tmp_path / "empty").iterdir()]


@pytest.mark.parametrize("name", ["run.json", "recipe.toml"])
@pytest.mark.parametrize("content", [None, b"\xff{", b"[1, 2]"])
def test_resume_names_a_damaged_file_of_the_run(
    refused, purify_arguments, finished, tmp_path, name, content
):
    run_folder = shutil.copytree(finished, tmp_path / "run")
    if content is None:
        (run_folder / name).unlink()
    else:
        (run_folder / name).write_bytes(content)
    refused(purify_arguments(run_folder, "--local", "--resume", steps=3), run_folder, name)
