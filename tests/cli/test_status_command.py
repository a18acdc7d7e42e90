"""The output of `status`: the state of a job, the progress of its run, missing resources."""

from __future__ import annotations

import json
import time

import pytest

from mimic_ray.jobs.job_client import Job
from tests.cli.fake_jobs import FakeJobs
from tests.cli.toy_images import run

PROGRESS = {
    "steps": 600,
    "step": 150,
    "loss": 0.25,
    "images_per_s": 1234.5,
    "seconds_left": 300.0,
    "workers": 2,
    "restarts": 1,
    "committed_step": 100,
    "status": "running",
    "phase": "distil",
}


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    job = Job("a", "RUNNING", metadata={"command": "mimic-ray purify", "out": str(tmp_path)})
    found = FakeJobs(job, Job("foreign", "RUNNING"))
    monkeypatch.setattr("mimic_ray.workflows.job_status.open_jobs", lambda address, insecure: found)
    return found


@pytest.fixture
def progress(tmp_path):
    def write(**changes):
        content = {**PROGRESS, "updated_at": time.time(), **changes}
        (tmp_path / "progress.json").write_text(json.dumps(content))

    return write


def shown(capsys, *words) -> str:
    assert run(["status", *words]) == 0
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.usefixtures("jobs")
def test_a_running_job_shows_the_progress_of_its_run(progress, capsys):
    progress()
    text = shown(capsys, "a")
    for words in (
        "a: RUNNING",
        "command mimic-ray purify",
        "step 150 of 600",
        "loss 0.2500",
        "speed 1,234 images/s",
        "time left 5 min",
        "workers 2, restarted 1 time",
        "checkpoint step 100",
    ):
        assert words in text
    assert "stale" not in text


@pytest.mark.usefixtures("jobs")
def test_a_run_without_updates_for_minutes_is_stale(progress, capsys):
    progress(updated_at=time.time() - 600)
    assert "stale last updated 10 min ago" in shown(capsys, "a")


@pytest.mark.usefixtures("jobs")
def test_a_study_counts_trials(progress, capsys):
    progress(phase="search", step=3, steps=16, loss=None, images_per_s=0, committed_step=None)
    text = shown(capsys, "a")
    assert "trials 3 of 16 finished" in text
    assert "running 2 trials" in text
    assert "checkpoint" not in text


def test_waiting_workers_are_shown_with_the_missing_resources(jobs, progress, capsys):
    jobs.demand = [[{"CPU": 2.0, "GPU": 1.0}, 3]]
    progress(phase="start")
    text = shown(capsys, "a")
    assert "waits for 3 x 2 CPU + 1 GPU" in text
    assert "workers none yet" in text


@pytest.mark.usefixtures("jobs")
def test_without_a_progress_file_the_end_of_the_log_is_shown(capsys):
    text = shown(capsys, "a")
    assert "there is no progress file at" in text
    assert "last lines of the log: line 1 line 2" in text
    assert "the command has no output location" in shown(capsys, "foreign")


@pytest.mark.usefixtures("jobs")
def test_json_has_the_same_facts(progress, capsys):
    progress()
    assert run(["status", "a", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["state"], facts["run"]["step"], facts["waits_for"]) == ("RUNNING", 150, "")


def test_watch_ends_with_the_job_and_repeats_only_changes(jobs, progress, capsys):
    progress()
    jobs.later["a"] = "SUCCEEDED"
    assert run(["status", "a", "--watch", "--every", "0.5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("a: ")] == [
        "a: RUNNING",
        "a: SUCCEEDED, exit code 0",
    ]


@pytest.mark.usefixtures("jobs")
def test_a_search_that_prepares_shows_how_far_it_is(progress, tmp_path, capsys):
    progress(phase="profile", done=3, total=40, study=True, step=0, steps=16, loss=None)
    text = shown(capsys, "a")
    assert f"study {tmp_path} (running, profile)" in text
    assert "preparing profile: 3 of 40" in text
    assert "trials 0 of 16" in text


COMPARISON = {
    "phase": "nad beta=500, seed 0 (4 of 40)",
    "comparison": True,
    "step": 3,
    "steps": 40,
    "done": 20,
    "total": 400,
}


@pytest.mark.usefixtures("jobs")
def test_a_job_that_compares_shows_its_runs(progress, tmp_path, capsys):
    progress(**COMPARISON)
    text = shown(capsys, "a")
    assert f"comparison {tmp_path} (running)" in text
    assert "runs 3 of at most 40 ended" in text
    assert "now nad beta=500, seed 0 (4 of 40): 20 of 400" in text
    assert "checkpoint" not in text


def test_a_folder_shows_its_progress_without_a_job_server(progress, tmp_path, capsys):
    progress(**COMPARISON, status="finished")
    text = shown(capsys, str(tmp_path), "--watch")
    assert text.startswith(f"{tmp_path}: finished comparison {tmp_path} (finished)")
    assert "now" not in text
    progress()
    assert "step 150 of 600" in shown(capsys, str(tmp_path))
    assert run(["status", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["step"] == 150


def test_a_bare_name_is_a_folder_where_it_has_progress(progress, tmp_path, monkeypatch, capsys):
    progress(updated_at=time.time() - 600)
    monkeypatch.chdir(tmp_path.parent)
    text = shown(capsys, tmp_path.name)
    assert text.startswith(f"{tmp_path.name}: running")
    assert "stale last updated 10 min ago" in text


def test_a_folder_without_progress_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path.parent)
    for given in (str(tmp_path), tmp_path.name):
        assert run(["status", given]) == 2
        assert f"{given} has no progress.json: give" in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.usefixtures("jobs")
def test_a_name_too_long_for_a_file_is_that_of_a_job(capsys):
    assert run(["status", "x" * 300]) == 2
    assert "progress.json" not in capsys.readouterr().err
