"""The table of jobs."""

from __future__ import annotations

import json

import pytest

from mimic_ray.jobs.job_client import Job
from tests.cli.fake_jobs import FakeJobs
from tests.cli.toy_images import run
from tests.support.console_width import PIPE, set_width


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
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    first, second = [line for line in lines if line][2:]  # below the header and its rule
    assert first.startswith("a FAILED 2001-09-0")
    assert first.endswith("5 min mimic-ray tune")
    assert second == "b\\x1b[2J PENDING (not mimic-ray)"


@pytest.mark.parametrize("width", [45, 60, PIPE])
def test_no_job_and_no_command_is_cut_at_any_width(jobs, monkeypatch, capsys, width):
    set_width(monkeypatch, width)
    name = "mimic-ray-purify-resnet50-of-the-whole-team-2026-11-29"
    command = "mimic-ray purify --encoder resnet50 --teacher s3://bucket/suspect.pth --out a/run"
    jobs.by_name = {name: Job(name, "RUNNING", metadata={"command": command})}
    assert run(["list"]) == 0
    shown = capsys.readouterr().out
    together = "".join(shown.split())
    assert name in together
    assert command.replace(" ", "") in together
    assert max(map(len, shown.splitlines())) <= width


@pytest.mark.usefixtures("jobs")
def test_a_server_without_jobs_is_named(capsys):
    assert run(["list"]) == 0
    assert capsys.readouterr().out == "No jobs at http://head:8265.\n"


def test_json_is_a_list(jobs, capsys):
    jobs.by_name = {"a": Job("a", "RUNNING")}
    assert run(["list", "--json"]) == 0
    assert [job["id"] for job in json.loads(capsys.readouterr().out)] == ["a"]
