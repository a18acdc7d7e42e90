"""What purify writes into run.json, called from Python in this process."""

from __future__ import annotations

import pytest

from mimic_ray import Resources, purify
from mimic_ray.base.errors import DiskFullError, TrainingError
from mimic_ray.execution import export
from mimic_ray.store.run_record import read_record
from tests.cli.toy_images import save_checkpoint, save_images

LOCAL = Resources(local=True)
SETTINGS = ["training.steps=4", "training.batch=8", "training.precision=fp32"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIMIC_RAY_CACHE", str(tmp_path / "cache"))


def purify_toy(tmp_path, *settings, **options):
    if not (tmp_path / "images").exists():
        save_images(tmp_path / "images", 6, seed=0)
    return purify(
        "tiny_resnet",
        save_checkpoint(tmp_path / "suspect.safetensors"),
        tmp_path / "images",
        tmp_path / "run",
        settings=[*SETTINGS, *settings],
        resources=LOCAL,
        threads=1,
        **options,
    )


def test_a_run_from_python_records_the_call_and_not_the_host_program(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["notebook-server", "--port", "8888"])
    result = purify_toy(tmp_path)
    command = read_record(tmp_path / "run" / "run.json").command
    assert command == result.record.command
    assert command.startswith("mimic_ray.purify(encoder='tiny_resnet', teacher=")
    assert "'training.steps=4'" in command
    assert "8888" not in command
    assert command in (tmp_path / "run" / "README.md").read_text()


def test_the_model_card_names_only_commands_that_exist(tmp_path):
    purify_toy(tmp_path)
    card = (tmp_path / "run" / "README.md").read_text()
    assert "trigger of another kind may still work" in card
    assert "scan" not in card


@pytest.mark.parametrize("commit_every", [1, 100])
def test_a_diverged_run_says_so_and_fails(tmp_path, commit_every):
    with pytest.raises(TrainingError) as caught:
        purify_toy(tmp_path, "training.learning_rate=1e9", commit_every=commit_every)
    assert "Training diverged: " in caught.value.message
    assert "lower training.learning_rate" in caught.value.message
    assert "suspect" not in caught.value.message
    record = read_record(tmp_path / "run" / "run.json")
    assert (record.status, record.error) == ("failed", caught.value.message)


def test_a_run_whose_results_cannot_be_written_has_failed_and_resumes(tmp_path, monkeypatch):
    def no_space(*arguments):  # noqa: ARG001 - as write_like
        raise DiskFullError("No space left on the disk of X.")

    with monkeypatch.context() as patch:
        patch.setattr(export, "write_like", no_space)
        with pytest.raises(DiskFullError, match="same command with resume=True"):
            purify_toy(tmp_path)
    record = read_record(tmp_path / "run" / "run.json")
    assert (record.status, record.step) == ("failed", 4)
    assert "No space left" in record.error
    assert purify_toy(tmp_path, resume=True).record.status == "finished"
