"""Errors of Ray's job client, converted to MimicError."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from mimic_ray.base.errors import ResourceError, UsageError
from mimic_ray.jobs import ray_private_jobs
from mimic_ray.jobs.job_client import JobClient, NoAnswerError
from mimic_ray.jobs.server_address import JobServer


def raised(monkeypatch, error: Exception, token: str = "") -> Exception:
    monkeypatch.setattr(ray_private_jobs, "job_submission_client", Mock(side_effect=error))
    with pytest.raises((ResourceError, UsageError)) as caught:
        JobClient(JobServer("http://head:8265", "--address", token))
    return caught.value


def test_missing_parts_of_ray_are_named_with_the_command_to_install_them(monkeypatch):
    error = RuntimeError("The Ray jobs CLI & SDK require the ray[default] installation")
    assert 'pip install "mimic-ray[cluster]"' in str(raised(monkeypatch, error))


def test_a_server_that_does_not_answer_is_named_with_the_source_of_its_address(monkeypatch):
    error = raised(monkeypatch, ConnectionError("Failed to connect to Ray at address"))
    assert isinstance(error, NoAnswerError)
    assert "http://head:8265 (from --address)" in str(error)


def test_a_cluster_that_is_gone_is_told_apart_from_a_server_that_is(monkeypatch):
    client = Mock(cluster_answers=Mock(return_value=False))
    monkeypatch.setattr(ray_private_jobs, "job_submission_client", Mock(return_value=client))
    with pytest.raises(NoAnswerError, match=r"head:8265 .* answers, but the control service"):
        JobClient(JobServer("http://head:8265", "--address"))


def test_a_job_is_deleted_until_it_stays_away(monkeypatch):
    """Ray may bring it back once."""
    found = [True, True, False, True, False, False]
    client = Mock(cluster_answers=Mock(return_value=True))
    monkeypatch.setattr(ray_private_jobs, "job_submission_client", Mock(return_value=client))
    monkeypatch.setattr("time.sleep", lambda _: None)
    jobs = JobClient(JobServer("http://head:8265", "--address"))
    monkeypatch.setattr(jobs, "find", lambda _: found.pop(0) or None)
    client.delete_job.side_effect = [RuntimeError("status code 500: still ending"), None, None]
    assert jobs.delete("first")
    assert (found, client.delete_job.call_count) == ([], 3)
    monkeypatch.setattr(jobs, "find", lambda _: "still there")
    client.delete_job.side_effect = None
    assert not jobs.delete("first", wait_s=0.01)


@pytest.mark.parametrize(
    ("command", "code", "state", "status"),
    [
        ("mimic-ray scan --encoder e", 3, "SUCCEEDED", 3),
        ("mimic-ray scan --encoder e", 4, "SUCCEEDED", 4),
        ("mimic-ray scan --encoder e", 1, "FAILED", 1),
        ("mimic-ray scan --encoder e", 0, "FAILED", 1),
        ("mimic-ray purify --out scan", 3, "FAILED", 1),
    ],
)
def test_a_verdict_is_the_success_of_a_scan(monkeypatch, command, code, state, status):
    """Ray says FAILED for every exit code but 0."""
    details = Mock(
        submission_id="first",
        status="FAILED",
        message="",
        start_time=0,
        end_time=0,
        driver_exit_code=code,
        error_type=None,
        metadata={"command": command},
    )
    answers = {"cluster_answers.return_value": True, "get_job_info.return_value": details}
    client = Mock(**answers)
    monkeypatch.setattr(ray_private_jobs, "job_submission_client", Mock(return_value=client))
    job = JobClient(JobServer("http://head:8265", "--address")).job("first")
    assert (job.state, job.exit_code, job.exit_status) == (state, code, status)


def test_a_missing_token_and_a_wrong_token_give_different_errors(monkeypatch):
    refusal = RuntimeError("Request failed with status code 401: Missing authentication token.")
    assert "none was found" in str(raised(monkeypatch, refusal))
    refusal = RuntimeError("Request failed with status code 403: Invalid authentication token.")
    assert "refuses the token in ~/.ray/auth_token" in str(
        raised(monkeypatch, refusal, "~/.ray/auth_token")
    )
