"""Stopping a job that has ended, stops, keeps running or has not started."""

from __future__ import annotations

import pytest

from mimic_ray.jobs.job_client import Job
from tests.cli.fake_jobs import FakeJobs
from tests.cli.toy_images import run


@pytest.fixture
def stop(monkeypatch, capsys):
    def stopped(state: str, later: str = "") -> tuple[int, str]:
        jobs = FakeJobs(Job("a", state))
        if later:
            # Read once by the command, then by the request to stop.
            jobs.stop = lambda name, wait_s: Job(name, later)  # type: ignore[method-assign]
        monkeypatch.setattr(
            "mimic_ray.workflows.job_status.open_jobs", lambda address, insecure: jobs
        )
        code = run(["stop", "a", "--timeout", "1"])
        shown = capsys.readouterr()
        return code, shown.out + shown.err

    return stopped


def test_a_job_that_ends_is_shown_with_its_state(stop):
    assert stop("RUNNING", "STOPPED") == (0, "a: STOPPED\n")


def test_a_job_that_has_ended_is_not_an_error(stop):
    assert stop("SUCCEEDED") == (0, "a: SUCCEEDED already.\n")


def test_a_job_that_does_not_end_is_an_error_with_the_command_for_its_log(stop):
    code, shown = stop("RUNNING", "RUNNING")
    assert code == 1
    assert "a is still running after 1 s" in shown
    assert "mimic-ray logs a --address http://head:8265" in shown


def test_a_job_in_the_queue_cannot_be_stopped(stop):
    code, shown = stop("PENDING", "PENDING")
    assert code == 1
    assert "Ray cannot stop a job in its queue" in shown
