"""Training in this process: what is written, when it stops, and how it continues."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import torch

from mimic_ray.base.errors import RunFolderError, StoppedError, TrainingError
from mimic_ray.execution import preparation
from mimic_ray.execution.distill_job import DistillJob
from mimic_ray.execution.training_control import LocalControl
from mimic_ray.execution.worker import open_worker, train
from mimic_ray.method.loop import Distillation
from mimic_ray.method.recipe import parse_recipe
from mimic_ray.method.student_start import untrained
from mimic_ray.store.checkpoint import latest
from mimic_ray.store.metrics_log import read_metrics
from mimic_ray.store.run_folder import RunFolder
from tests.cli.toy_images import save_images

NAME = "tiny_resnet"
STEPS = 5


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return save_images(tmp_path_factory.mktemp("toy") / "images", 4, seed=0)


@pytest.fixture(scope="module")
def teacher():
    return untrained(NAME, 3).net.state_dict()


@pytest.fixture
def job(folder, images, monkeypatch, tmp_path):
    monkeypatch.setenv("MIMIC_RAY_CACHE", str(tmp_path / "cache"))
    training = {"steps": STEPS, "batch": 4, "precision": "fp32"}
    return DistillJob(
        run=str(folder.path),
        encoder=NAME,
        data=str(images),
        recipe=parse_recipe({"training": training}),
        device="cpu",
        threads=1,
        commit_every=2,
    )


def stop_after(steps, folder):
    return LocalControl(stop_requested=lambda: len(read_metrics(folder)) >= steps)


def weights(folder):
    return latest(folder).state["distillation"]["student"]


def test_training_ends_with_a_checkpoint_of_the_last_step_and_a_row_for_each(job, folder, teacher):
    outcome = train(job, teacher)
    assert (outcome.finished, outcome.step, outcome.images) == (True, STEPS, 12)
    assert latest(folder).step == STEPS
    assert [row["step"] for row in read_metrics(folder)] == [1, 2, 3, 4, 5]
    steps = sorted(path.name for path in folder.checkpoints.glob("step-*"))
    assert steps == ["step-000004", "step-000005"]


def test_a_machine_that_is_to_be_taken_away_is_a_reason_to_commit_at_once(job, folder, teacher):
    class Leaving(LocalControl):
        """A machine is announced to be taken away after two steps, another after three."""

        def draining(self):
            return sum(len(read_metrics(folder)) >= steps for steps in (2, 3))

    committed = []
    with open_worker(replace(job, commit_every=100), teacher, control=Leaving()) as worker:
        write = worker.commits._write
        worker.commits._write = lambda step, state: (committed.append(step), write(step, state))
        for _ in worker.steps():
            pass
    assert committed == [2, 3, STEPS]


def test_gathering_the_state_is_part_of_what_a_commit_costs(job, teacher, monkeypatch):
    gather, slow_s = Distillation.state, 0.2

    def slow(distillation):
        time.sleep(slow_s)
        return gather(distillation)

    monkeypatch.setattr(Distillation, "state", slow)
    with open_worker(job, teacher) as worker:
        for _ in worker.steps():
            pass
        assert worker.commits._cost_s >= slow_s


def test_a_stop_is_committed_and_training_continues_from_it_bit_for_bit(
    job, folder, teacher, tmp_path
):
    stopped = train(job, teacher, control=stop_after(3, folder))
    assert (stopped.finished, stopped.step, latest(folder).step) == (False, 3, 3)
    assert train(job, teacher).finished
    whole = RunFolder(tmp_path / "whole")
    whole.path.mkdir()
    train(replace(job, run=str(whole.path)), teacher)
    ours, theirs = weights(folder), weights(whole)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert [row["loss"] for row in read_metrics(folder)] == [
        row["loss"] for row in read_metrics(whole)
    ]


def test_a_finished_run_is_not_trained_further(job, folder, teacher):
    train(job, teacher)
    before = {key: value.clone() for key, value in weights(folder).items()}
    outcome = train(job, teacher)
    assert (outcome.finished, outcome.step, outcome.images_per_s) == (True, STEPS, 0.0)
    assert all(torch.equal(before[key], value) for key, value in weights(folder).items())


def test_a_step_is_seen_before_its_checkpoint_is_written(job, folder, teacher):
    seen = []
    with open_worker(job, teacher) as worker:
        for step in worker.steps():
            worker.commits.wait()
            found = latest(folder)
            seen.append((step, found.step if found else 0))
    assert seen == [(1, 0), (2, 0), (3, 2), (4, 2), (5, 4)]


def test_a_worker_that_was_replaced_writes_no_checkpoint(job, folder, teacher):
    class Replaced(LocalControl):
        def check_current(self):
            raise TrainingError("Newer workers have taken over.")

    with pytest.raises(TrainingError, match="taken over"):
        train(job, teacher, control=Replaced())
    assert latest(folder) is None


def test_a_worker_of_an_older_command_writes_no_checkpoint(job, folder, teacher):
    with pytest.raises(RunFolderError, match="nothing more"):
        train(replace(job, lease="of an older command"), teacher)
    assert latest(folder) is None


def test_the_command_sees_every_phase(job, teacher):
    phases = []
    train(job, teacher, control=LocalControl(lambda progress: phases.append(progress.phase)))
    expected = ["decode", "profile", "distil"]
    assert [phase for phase in dict.fromkeys(phases) if phase in expected] == expected


@pytest.mark.parametrize("phase", ["decode", "profile"])
def test_a_stop_request_before_the_first_step_ends_the_run_without_a_checkpoint(
    job, folder, teacher, phase
):
    seen = []
    control = LocalControl(seen.append, lambda: phase in {progress.phase for progress in seen})
    with pytest.raises(StoppedError, match="before the first step"):
        train(job, teacher, control=control)
    assert seen[-1].phase == phase
    assert latest(folder) is None
    assert train(job, teacher).finished


def test_the_openings_of_the_suspect_are_found_once_and_kept_for_the_resumed_run(
    job, folder, teacher, tmp_path, monkeypatch
):
    many = save_images(tmp_path / "many", 24, seed=0)  # 72 images
    quick = {"training": {"steps": 4, "batch": 4, "precision": "fp32"}}
    job = replace(
        job,
        data=str(many),
        recipe=parse_recipe({**quick, "openings": {"effort": "quick", "kept": 2}}),
    )
    train(job, teacher, control=stop_after(2, folder))
    kept = latest(folder).state["openings"]
    assert 1 <= len(kept["masks"]) <= 2
    monkeypatch.setattr(preparation, "search_openings", lambda *_: pytest.fail("searched again"))
    outcome = train(job, teacher)
    assert outcome.finished
    assert not any("openings" in note for note in outcome.notes)
    assert torch.equal(latest(folder).state["openings"]["canvases"], kept["canvases"])


def test_a_set_too_small_for_a_search_is_said(job, teacher):
    assert any("at least 64" in note for note in train(job, teacher).notes)
