"""Whether a job that ended left anything behind, so that its name is still free."""

from __future__ import annotations

import os
from contextlib import closing

from mimic_ray.base.errors import MimicError, UsageError
from mimic_ray.base.locations import local_path
from mimic_ray.jobs.job_client import Job
from mimic_ray.store.store import open_store

# The kinds of failure by Ray's names in which the command itself never ran.
NEVER_STARTED = (
    "RUNTIME_ENV_SETUP_FAILURE",
    "JOB_SUPERVISOR_ACTOR_START_TIMEOUT",
    "JOB_SUPERVISOR_ACTOR_START_FAILURE",
    "JOB_SUPERVISOR_ACTOR_UNSCHEDULABLE",
    "JOB_ENTRYPOINT_COMMAND_START_ERROR",
)


def left_nothing(job: Job, *, sees_paths: bool) -> bool:
    """Whether a job that failed or was stopped wrote nothing.

    Certain if its command was refused (exit code 2) or never ran. Otherwise its output is looked
    at; `sees_paths` says whether this machine has the paths of the cluster. False if that is
    unknown.
    """
    if job.state == "SUCCEEDED" or not job.over:
        return False
    if job.exit_code == UsageError.exit_code or job.failure in NEVER_STARTED:
        return True
    if not job.out or (local_path(job.out) and not sees_paths):
        return False
    try:
        with closing(open_store(job.out, f"reader-{os.getpid()}")) as store:
            return not store.names()
    except (MimicError, OSError):
        return False
