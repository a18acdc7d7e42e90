"""The table of jobs."""

from __future__ import annotations

import json

import pytest

from mimic_ray.jobs.job_client import Job
from tests.cli.fake_jobs import FakeJobs
from tests.cli.toy_images import run


@pytest.fixture
def jobs(monkeypatch):
    found = FakeJobs()
    monkeypatch.setattr("mimic_ray.workflows.job_status.open_jobs", lambda address, insecure: found)
    return found


def test_each_job_has_a_line_and_untrusted_names_are_escaped(jobs, capsys):
    jobs.by_name = {
        "a": Job(
            "a", "FAILED", started=1e9, ended=1e9 + 300, metadata={"command": "mimic-ray tune"}
        ),
        "b": Job("b\x1b[2J", "PENDING"),
    }
    assert run(["list"]) == 0
    shown = capsys.readouterr().out
    first, second = (" ".join(line.split()) for line in shown.splitlines()[1:])
    assert first.startswith("a FAILED 2001-09-0")
    assert first.endswith("5 min mimic-ray tune")
    assert second == "b\\x1b[2J PENDING (not mimic-ray)"


@pytest.mark.usefixtures("jobs")
def test_a_server_without_jobs_is_named(capsys):
    assert run(["list"]) == 0
    assert capsys.readouterr().out == "No jobs at http://head:8265.\n"


def test_json_is_a_list(jobs, capsys):
    jobs.by_name = {"a": Job("a", "RUNNING")}
    assert run(["list", "--json"]) == 0
    assert [job["id"] for job in json.loads(capsys.readouterr().out)] == ["a"]
