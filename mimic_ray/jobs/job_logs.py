"""Follows the log of a job, reconnecting when a connection drops, without repeating lines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from mimic_ray.base.errors import MimicError, ResourceError
from mimic_ray.jobs.job_client import Job, JobClient, NoAnswerError

# A silent connection may be dead. After this time, request the job's state from the server.
_SILENCE_S = 15.0
_FIRST_RETRY_S, _LONGEST_RETRY_S = 0.5, 10.0


def follow(
    client: JobClient,
    name: str,
    write: Callable[[str], None],
    *,
    retry_for_s: float = 300.0,
    on_lost: Callable[[str], None] = lambda sentence: None,
) -> Job:
    """Passes the job's output to `write` until the job ends, and returns the ended job.

    Reconnects with exponential back-off when the connection drops. The server then sends the log
    from its start, and the part that was already written is skipped. Raises ResourceError if the
    server has not answered for `retry_for_s` seconds; the job itself is not affected.
    """
    written = 0
    retry_s, lost_at = _FIRST_RETRY_S, None
    while True:
        try:
            written = asyncio.run(_stream(client, name, written, write))
            try:
                job = client.job(name)
                # The stream may end before the job writes its last lines.
                rest = client.logs(name)[written:] if job.over else ""
            except NoAnswerError as error:
                raise _Dropped(written, lost_at is None, error) from error
            if job.over:
                write(rest)
                return job
            retry_s, lost_at = _FIRST_RETRY_S, None
        except _Dropped as dropped:
            written = dropped.written
            now = time.monotonic()
            if lost_at is None or dropped.received:
                lost_at, retry_s = now, _FIRST_RETRY_S
                on_lost(f"The connection to {client.server} dropped; retrying.")
            if now - lost_at > retry_for_s:
                raise ResourceError(
                    f"{client.server} has not answered for {retry_for_s:.0f} s. The job may still "
                    f"run: mimic-ray logs {name} --follow{client.server.option}"
                ) from dropped.cause
            retry_s = min(2 * retry_s, _LONGEST_RETRY_S)
        time.sleep(retry_s)


class _Dropped(Exception):
    """The connection ended before the job, after `written` characters of the log."""

    def __init__(self, written: int, received: bool, cause: Exception) -> None:
        super().__init__(str(cause))
        self.written, self.received, self.cause = written, received, cause


async def _stream(client: JobClient, name: str, written: int, write: Callable[[str], None]) -> int:
    """Writes the log after its first `written` characters; returns the new total at its end."""
    at, received = 0, False
    chunks = client.tail(name)
    try:
        while True:
            chunk = await _next(client, name, chunks)
            if chunk is None:
                return max(written, at)
            received = True
            at += len(chunk)
            if at > written:
                write(chunk[len(chunk) - (at - written) :])
                written = at
    except Exception as error:
        if isinstance(error, MimicError) and not isinstance(error, NoAnswerError):
            raise  # the job does not exist or access is denied, so a retry would not help
        raise _Dropped(written, received, error) from error
    finally:
        with suppress(Exception):
            await chunks.aclose()


async def _next(client: JobClient, name: str, chunks: Any) -> str | None:
    """The next chunk, None at the end. During silence, checks that the server still answers."""
    waiting = asyncio.ensure_future(anext(chunks, None))
    try:
        while True:
            done, _ = await asyncio.wait({waiting}, timeout=_SILENCE_S)
            if done:
                return waiting.result()
            if client.job(name).over:
                return None
    finally:
        waiting.cancel()
        with suppress(BaseException):
            await waiting
