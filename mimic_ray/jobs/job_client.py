"""Ray's job client with timeouts, and with its exceptions converted to MimicError."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from mimic_ray.base.errors import (
    VERDICT_EXIT_CODES,
    MimicError,
    ResourceError,
    UnknownNameError,
    UsageError,
)
from mimic_ray.base.ray_version import check_ray_version
from mimic_ray.base.redact import redact
from mimic_ray.base.text import near_names, plain
from mimic_ray.jobs import ray_private_jobs
from mimic_ray.jobs.server_address import JobServer

# Limits to connect and to receive the next byte, in seconds. Ray's own client has none.
_TIMEOUT_S = (5.0, 60.0)
_STOP_POLL_S = 0.5
_DELETE_S = 15.0
ENDED = ("SUCCEEDED", "FAILED", "STOPPED")


@dataclass(frozen=True)
class Job:
    """A job as the job server reports it. Times are seconds since 1970, 0 if unknown."""

    id: str
    state: str  # PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED
    message: str = ""
    started: float = 0.0
    ended: float = 0.0
    exit_code: int | None = None
    failure: str = ""  # Ray's name of a failure, such as RUNTIME_ENV_SETUP_FAILURE
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        return self.state in ENDED

    @property
    def exit_status(self) -> int:
        """What a command that waited for the job exits with: 0, the code of a verdict, or 1."""
        return (self.exit_code or 0) if self.state == "SUCCEEDED" else 1

    @property
    def command(self) -> str:
        return self.metadata.get("command", "")

    @property
    def out(self) -> str:
        return self.metadata.get("out", "")


class NoAnswerError(ResourceError):
    """The job server could not be reached; a retry may help."""


class JobClient:
    """One job server. Each method raises ResourceError if the server does not answer or refuses."""

    def __init__(self, server: JobServer) -> None:
        self.server = server
        with self._converted_errors():
            check_ray_version()
            self._client = ray_private_jobs.job_submission_client(server.url, _TIMEOUT_S)
            if not self._client.cluster_answers():
                raise NoAnswerError(
                    f"The job server at {server} answers, but the control service (GCS) of its "
                    "cluster does not: the head is broken. Start it again; jobs that ran are lost, "
                    "and continue with the same command and --resume."
                )

    def submit(
        self,
        name: str,
        entrypoint: str,
        *,
        environment: Mapping[str, Any],
        metadata: Mapping[str, str],
        cpus: float = 0,
        gpus: float = 0,
    ) -> None:
        """Uploads the `environment` (see job_environment.py) and starts the job.

        Its driver waits for a node with `cpus` and `gpus`; if both are 0, it starts on the head.
        """
        with self._converted_errors(name):
            self._client.submit_job(
                entrypoint=entrypoint,
                submission_id=name,
                runtime_env=dict(environment),
                metadata=dict(metadata),
                entrypoint_num_cpus=cpus or None,
                entrypoint_num_gpus=gpus or None,
            )

    def job(self, name: str) -> Job:
        """Raises UnknownNameError, with similar names, if there is no such job."""
        with self._converted_errors(name):
            return _job(self._client.get_job_info(name))

    def find(self, name: str) -> Job | None:
        try:
            return self.job(name)
        except UnknownNameError:
            return None

    def jobs(self) -> list[Job]:
        """All submitted jobs, newest first."""
        with self._converted_errors():
            found = [_job(details) for details in self._client.list_jobs() if details.submission_id]
        return sorted(found, key=lambda job: -job.started)

    def logs(self, name: str) -> str:
        """The output of the job so far."""
        with self._converted_errors(name):
            return str(self._client.get_job_logs(name))

    def tail(self, name: str) -> Any:
        """An async iterator over the log from its start, which follows new lines."""
        return self._client.tail_job_logs(name)

    def stop(self, name: str, wait_s: float) -> Job:
        """Stops the job and waits up to `wait_s` seconds; it may still be running then."""
        with self._converted_errors(name):
            self._client.stop_job(name)
        deadline = time.monotonic() + wait_s
        while not (job := self.job(name)).over and time.monotonic() < deadline:
            time.sleep(_STOP_POLL_S)
        return job

    def delete(self, name: str, wait_s: float = _DELETE_S) -> bool:
        """Removes an ended job, so that its name is free; returns whether that succeeded.

        Straight after its end, Ray may bring a deleted job back once.
        """
        deadline = time.monotonic() + wait_s
        times_gone = 0
        while times_gone < 2 and time.monotonic() < deadline:
            if self.find(name) is None:
                times_gone += 1
            else:
                times_gone = 0
                with self._converted_errors(name), suppress(RuntimeError):
                    self._client.delete_job(name)
            time.sleep(_STOP_POLL_S)
        return times_gone == 2

    def get(self, path: str) -> Any:
        """The JSON of another endpoint of the server; None if the endpoint does not exist."""
        with self._converted_errors():
            return self._client.get(path)

    @contextmanager
    def _converted_errors(self, name: str = "") -> Iterator[None]:
        try:
            yield
        except MimicError:
            raise
        except Exception as error:
            raise self._converted(error, name) from error

    def _converted(self, error: Exception, name: str) -> MimicError:
        text, kind = str(error), ray_private_jobs.job_error(error)
        if kind == "refused":
            return ResourceError(self._token_problem(text))
        if kind == "not installed":
            return UsageError(
                'Jobs need parts of Ray that are not installed: pip install "mimic-ray[cluster]".'
            )
        if kind == "no answer":
            return NoAnswerError(
                f"No job server answers at {self.server}: check that the head is running, that its "
                "dashboard uses that port, and that the port is forwarded (mimic-ray cluster "
                "attach FILE --dashboard)."
            )
        if name and kind == "no such job":
            near = near_names(name, [job.id for job in self.jobs()])
            return UnknownNameError("job", plain(name), near, "See mimic-ray list.")
        if name and kind == "job exists":
            return UsageError(f"The job {plain(name)} has just been submitted: try again.")
        if kind == "no job server":
            return ResourceError(
                f"{self.server} is not a Ray job server: use the address of the head's dashboard, "
                "or of the port that is forwarded to it."
            )
        last = plain(redact(text.strip().splitlines()[-1] if text.strip() else repr(error)), 300)
        return ResourceError(f"The job server at {self.server} refused: {last}")

    def _token_problem(self, text: str) -> str:
        where = self.server.token
        if not where:
            return (
                f"{self.server} requires a token, and none was found: put the cluster's token into "
                "~/.ray/auth_token, or set RAY_AUTH_TOKEN_PATH to its file."
            )
        if "cannot be opened" in text:
            return f"The token in {where} cannot be read."
        return f"{self.server} refuses the token in {where}: use the token of that cluster."


def _job(details: Any) -> Job:
    metadata, code = details.metadata or {}, details.driver_exit_code
    state = str(getattr(details.status, "value", details.status))
    verdict = bool(code) and code in VERDICT_EXIT_CODES.values() and _is_scan(metadata)
    return Job(
        id=details.submission_id or details.job_id or "",
        # To Ray, a driver that exits with the code of a verdict has failed.
        state="SUCCEEDED" if state == "FAILED" and verdict else state,
        message=details.message or "",
        started=(details.start_time or 0) / 1000,
        ended=(details.end_time or 0) / 1000,
        exit_code=code,
        failure=str(getattr(details.error_type, "value", details.error_type) or ""),
        metadata=metadata,
    )


def _is_scan(metadata: Mapping[str, str]) -> bool:
    return metadata.get("command", "").split()[1:2] == ["scan"]
