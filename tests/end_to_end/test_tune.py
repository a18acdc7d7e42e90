"""A search on a private Ray, which starts and ends with the command."""

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mimic_ray.store.study_folder import StudyFolder, read_study, read_trials
from tests.cli.toy_images import run
from tests.end_to_end.processes import start, started_by, wait_until

pytestmark = pytest.mark.ray

IMAGES = 80
HELD_OUT = 32


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for number in range(IMAGES):
        coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((32, 32), Image.Resampling.BICUBIC)
        image.save(folder / f"{number:03}.png")
    return folder


@pytest.fixture(scope="module")
def arguments(case, images):
    """The arguments of a search of a few short trials into `out`."""

    def made(out: Path, *more: str, trials: int = 2, steps: int = 16) -> list[str]:
        return [
            *("tune", "--encoder", "tiny_resnet", "--teacher", str(case / "teacher.pth")),
            *("--data", str(images), "--out", str(out), "--held-out", "0.4"),
            *("--trials", str(trials), "--set", f"training.steps={steps}"),
            *("--set", "training.batch=8", "--set", "training.precision=fp32", *more),
        ]

    return made


def logged_steps(study: Path) -> int:
    """Steps of all trials that run or were interrupted."""
    return sum(len(log.read_text().splitlines()) for log in study.glob("trials/*/metrics.jsonl"))


@pytest.fixture(scope="module")
def finished(mimic_ray, arguments, tmp_path_factory):
    """A finished study and what the command printed."""
    out = tmp_path_factory.mktemp("finished") / "study"
    return out, mimic_ray(*arguments(out))


def test_a_search_ends_with_a_recipe_that_purify_takes(finished, case, images, tmp_path):
    study, done = finished
    assert done.returncode == 0, done.stderr
    assert str(study / "best.toml") in done.stdout
    purify = [
        *("purify", "--encoder", "tiny_resnet", "--teacher", str(case / "teacher.pth")),
        *("--data", str(images), "--out", str(tmp_path / "run"), "--local"),
        *("--recipe", str(study / "best.toml")),
    ]
    assert run(purify) == 0
    best = tomllib.loads((study / "best.toml").read_text())
    assert tomllib.loads((tmp_path / "run" / "recipe.toml").read_text()) == best


def test_a_study_contains_every_trial_and_the_results(finished):
    study, _ = finished
    trials = read_trials(StudyFolder(study))
    assert [trial.number for trial in trials] == [0, 1]
    assert all(trial.scored for trial in trials)
    table = pq.read_table(study / "trials.parquet").to_pylist()
    assert [row["id"] for row in table] == [trial.id for trial in trials]
    assert sum(row["chosen"] for row in table) == 1
    assert (study / "report.html").stat().st_size > 10_000
    assert list(study.glob("tensorboard/*/events.out.tfevents*"))
    assert read_study(StudyFolder(study)).status == "finished"


def test_the_teachers_outputs_are_computed_once_for_all_trials(finished):
    """The profile's images, 4 fixed views of those trained on, and the held-out images."""
    study, _ = finished
    trained_on = IMAGES - HELD_OUT
    expected = trained_on + 4 * trained_on + HELD_OUT
    assert read_study(StudyFolder(study)).teacher_forwards == expected


@pytest.mark.slow
def test_images_too_many_to_send_give_the_same_scores(finished, arguments, tmp_path):
    """Each process opens them itself; here the limit of 2 GiB is set to 0."""
    program = (
        "import sys; from mimic_ray.workflows import prepare_search as module; "
        "module._SENT_BYTES = 0; from mimic_ray.cli.app import main; sys.exit(main())"
    )
    study = tmp_path / "study"
    words = [sys.executable, "-c", program, *arguments(study)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    placed, sent = (
        next(trial for trial in read_trials(StudyFolder(found)) if trial.base)
        for found in (study, finished[0])
    )
    assert placed.id == sent.id
    assert placed.scores == pytest.approx(sent.scores, abs=1e-4)


@pytest.mark.slow
def test_a_finished_study_continues_with_more_trials_and_keeps_the_ended_ones(
    finished, mimic_ray, arguments
):
    study, _ = finished
    before = {trial.id: trial for trial in read_trials(StudyFolder(study))}
    done = mimic_ray(*arguments(study, "--resume", trials=4))
    assert done.returncode == 0, done.stderr
    after = {trial.id: trial for trial in read_trials(StudyFolder(study))}
    assert len(after) == 4
    assert all(after[key] == before[key] or after[key].id == key for key in before)
    assert [after[key].seconds for key in before] == [before[key].seconds for key in before]


def test_a_study_with_nothing_left_to_try_is_reported_again_without_ray(finished, arguments):
    study, _ = finished
    count = len(read_trials(StudyFolder(study)))
    (study / "report.html").unlink()
    log = (study / "ray.log").stat().st_mtime
    assert run(arguments(study, "--resume", trials=count)) == 0
    assert (study / "report.html").exists()
    assert (study / "ray.log").stat().st_mtime == log


def test_a_study_of_another_teacher_is_refused_before_anything_runs(
    finished, arguments, case, tmp_path, capsys
):
    import torch

    study, _ = finished
    state = torch.load(case / "teacher.pth", weights_only=True)
    state["state_dict"]["module.conv1.weight"] += 1
    torch.save(state, tmp_path / "other.pth")
    assert run(arguments(study, "--resume", "--teacher", str(tmp_path / "other.pth"))) == 2
    stderr = capsys.readouterr().err
    assert "not the study that was started: the teacher's sha256" in stderr
    assert "Traceback" not in stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_search_is_resumed(arguments, mimic_ray, tmp_path, number):
    """Ctrl-C commits every running trial; a kill leaves what was committed before."""
    study = tmp_path / "study"
    long = arguments(study, trials=3, steps=800)
    process = start(str(study), long)
    wait_until(lambda: logged_steps(study) > 250, process)
    if number == signal.SIGKILL:
        os.killpg(process.pid, number)
        process.communicate()
    else:
        process.send_signal(number)
        _, stderr = process.communicate(timeout=120)
        assert process.returncode == 128 + number
        assert "--resume" in stderr
        assert "Traceback" not in stderr
    interrupted = [t.id for t in read_trials(StudyFolder(study)) if t.status == "running"]
    assert interrupted
    done = mimic_ray(*long, "--resume")
    assert done.returncode == 0, done.stderr
    trials = {trial.id: trial for trial in read_trials(StudyFolder(study))}
    assert len(trials) == 3
    assert all(trial.status in ("finished", "stopped") for trial in trials.values())
    # The interrupted trials continued in their own folders.
    assert {*interrupted} <= {*trials}


@pytest.mark.slow
def test_a_killed_trial_continues_from_its_last_checkpoint(arguments, tmp_path):
    study = tmp_path / "study"
    process = start(str(study), arguments(study, "--no-early-stopping", trials=1, steps=1200))
    wait_until(lambda: logged_steps(study) > 400, process)
    (trial,) = [pid for pid, name in started_by(str(study)).items() if "ImplicitFunc" in name]
    os.kill(trial, signal.SIGKILL)
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    (trial,) = read_trials(StudyFolder(study))
    assert (trial.status, trial.step) == ("finished", 1200)
    assert "Traceback" not in stderr  # Ray's own report of the kill is in ray.log
    assert "ActorDiedError" in (study / "ray.log").read_text()


@pytest.mark.slow
def test_too_many_failed_trials_fail_the_study_with_their_settings(arguments, mimic_ray, tmp_path):
    study = tmp_path / "study"
    done = mimic_ray(
        *arguments(
            study, "--only-these", "--search", "training.learning_rate=loguniform(1e30,1e35)"
        )
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert re.search(r"trials failed.*training.learning_rate=.*not finite", done.stderr)
    assert json.loads((study / "study.json").read_text())["status"] == "failed"


@pytest.mark.slow
def test_trials_of_several_workers_do_not_lock_a_full_machine(arguments, mimic_ray, tmp_path):
    """Two workers per trial on two CPUs: the process that watches them must not take one."""
    study = tmp_path / "study"
    done = mimic_ray(*arguments(study, "--workers", "2", trials=3, steps=40), timeout_s=600)
    assert done.returncode == 0, done.stderr
    statuses = [trial.status for trial in read_trials(StudyFolder(study))]
    assert len(statuses) == 3
    assert set(statuses) <= {"finished", "stopped"}


@pytest.mark.slow
def test_a_killed_worker_of_a_trial_is_restarted_and_the_trial_continues(arguments, tmp_path):
    study = tmp_path / "study"
    process = start(
        str(study),
        arguments(study, "--no-early-stopping", "--workers", "2", trials=1, steps=800),
    )
    wait_until(lambda: logged_steps(study) > 300, process)
    workers = [pid for pid, name in started_by(str(study)).items() if "RayTrainWorker" in name]
    os.kill(workers[0], signal.SIGKILL)
    _, stderr = process.communicate(timeout=400)
    assert process.returncode == 0, stderr
    (trial,) = read_trials(StudyFolder(study))
    assert (trial.status, trial.step) == ("finished", 800)
