"""The log of a job, printed once or followed to its end."""

from __future__ import annotations

import pytest

from mimic_ray.jobs.job_client import Job
from tests.cli.fake_jobs import FakeJobs
from tests.cli.toy_images import run


@pytest.fixture
def jobs(monkeypatch):
    found = FakeJobs(Job("good", "SUCCEEDED", exit_code=0), Job("bad", "FAILED", exit_code=2))
    monkeypatch.setattr("mimic_ray.workflows.job_status.open_jobs", lambda address, insecure: found)
    return found


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize(("name", "code"), [("good", 0), ("bad", 1)])
def test_following_ends_with_the_outcome_of_the_job(capsys, name, code):
    assert run(["logs", name, "--follow"]) == code
    shown = capsys.readouterr()
    assert shown.out == "line 1\nline 2\n"
    assert shown.err.startswith(f"{name}: ")


@pytest.mark.usefixtures("jobs")
def test_printing_the_log_of_a_failed_job_succeeds(capsys):
    assert run(["logs", "bad"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "line 1\nline 2\n"
    assert shown.err == "bad: FAILED, exit code 2\n"


@pytest.mark.usefixtures("jobs")
def test_ctrl_c_stops_following_but_not_the_job(monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("mimic_ray.jobs.job_logs.follow", interrupted)
    assert run(["logs", "good", "--follow"]) == 130
    assert "mimic-ray logs good --follow --address http://head:8265" in capsys.readouterr().err
