"""The log of a job as it is written, through dropped connections, each line once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from mimic_ray.base.errors import MimicError, ResourceError
from mimic_ray.jobs.job_client import Job, JobClient, NoAnswerError

# A silent connection may be dead: after this long the server is asked for the job's state.
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
    """Passes the job's output to `write` until the job ends; the ended job.

    A dropped connection is made again with exponential back-off. The server sends the log from the
    start each time, so what was written already is skipped. Raises ResourceError when the server
    has not answered for `retry_for_s` seconds; the job itself is not affected.
    """
    written = 0
    retry_s, lost_at = _FIRST_RETRY_S, None
    while True:
        try:
            written = asyncio.run(_stream(client, name, written, write))
            try:
                job = client.job(name)
                # The stream may end before the last lines were written.
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
    """Writes what follows the first `written` characters; their number when the stream ends."""
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
            raise  # no such job, or no access: a retry would not help
        raise _Dropped(written, received, error) from error
    finally:
        with suppress(Exception):
            await chunks.aclose()


async def _next(client: JobClient, name: str, chunks: Any) -> str | None:
    """The next chunk, None at the end. While it is silent, checks that the server is there."""
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
