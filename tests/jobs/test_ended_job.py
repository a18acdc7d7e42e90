"""Jobs that ended: whose name is free, and whose is not."""

from __future__ import annotations

import pytest

from mimic_ray.jobs.ended_job import NEVER_STARTED, left_nothing
from mimic_ray.jobs.job_client import Job


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (Job("a", "FAILED", exit_code=2), True),  # the command was refused
        (Job("a", "FAILED", failure="RUNTIME_ENV_SETUP_FAILURE"), True),
        (Job("a", "FAILED", failure="JOB_SUPERVISOR_ACTOR_DIED"), False),  # it may have run
        (Job("a", "FAILED", exit_code=1), False),
        (Job("a", "SUCCEEDED", exit_code=0), False),
        (Job("a", "RUNNING"), False),
    ],
)
def test_the_exit_code_and_the_kind_of_failure_tell(job, expected):
    assert left_nothing(job, sees_paths=True) == expected


@pytest.mark.parametrize("state", ["FAILED", "STOPPED"])
def test_otherwise_the_output_tells_where_it_can_be_seen(tmp_path, state):
    job = Job("a", state, exit_code=1, metadata={"out": str(tmp_path / "run")})
    assert left_nothing(job, sees_paths=True)
    assert not left_nothing(job, sees_paths=False)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    assert not left_nothing(job, sees_paths=True)


def test_an_output_that_cannot_be_read_may_hold_something():
    job = Job("a", "FAILED", exit_code=1, metadata={"out": "s3://bucket?nonsense=1"})
    assert not left_nothing(job, sees_paths=True)


def test_ray_has_these_kinds_of_failure():
    from ray.dashboard.modules.job.common import JobErrorType

    assert {*NEVER_STARTED} <= {kind.value for kind in JobErrorType}
