"""The log of a job as it comes, through dropped connections, each line once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from mimic_ray.base.errors import MimicError, ResourceError
from mimic_ray.jobs.job_client import Job, JobClient, NoAnswerError

# A silent connection may be a dead one: after this long the server is asked.
_SILENCE_S = 15.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 10.0


def follow(
    client: JobClient,
    name: str,
    tell: Callable[[str], None],
    *,
    patience_s: float = 300.0,
    tell_lost: Callable[[str], None] = lambda sentence: None,
) -> Job:
    """Passes all that the job prints to `tell`, until it has ended; the job as it ended.

    A connection that drops is made again, with growing pauses; the server sends the log from its
    beginning each time, so what was told is counted and skipped. Raises ResourceError when the
    server has not answered for `patience_s` seconds. The job goes on whatever happens here.
    """
    told = 0
    wait_s, lost_at = _FIRST_WAIT_S, None
    while True:
        try:
            told = asyncio.run(_stream(client, name, told, tell))
            try:
                job = client.job(name)
                # The stream may end before the last lines were written.
                rest = client.logs(name)[told:] if job.over else ""
            except NoAnswerError as error:
                raise _Dropped(told, lost_at is None, error) from error
            if job.over:
                tell(rest)
                return job
            wait_s, lost_at = _FIRST_WAIT_S, None
        except _Dropped as dropped:
            told = dropped.told
            now = time.monotonic()
            if lost_at is None or dropped.heard:
                lost_at, wait_s = now, _FIRST_WAIT_S
                tell_lost(f"The connection to {client.server} dropped; trying again.")
            if now - lost_at > patience_s:
                raise ResourceError(
                    f"{client.server} has not answered for {patience_s:.0f} s. The job may still "
                    f"run: mimic-ray logs {name} --follow{client.server.option}"
                ) from dropped.cause
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
        time.sleep(wait_s)


class _Dropped(Exception):
    """The connection ended before the job; `told` characters of the log had come by then."""

    def __init__(self, told: int, heard: bool, cause: Exception) -> None:
        super().__init__(str(cause))
        self.told, self.heard, self.cause = told, heard, cause


async def _stream(client: JobClient, name: str, told: int, tell: Callable[[str], None]) -> int:
    """Tells what follows the first `told` characters; their number when the stream ends."""
    at, heard = 0, False
    chunks = client.tail(name)
    try:
        while True:
            chunk = await _next(client, name, chunks)
            if chunk is None:
                return max(told, at)
            heard = True
            at += len(chunk)
            if at > told:
                tell(chunk[len(chunk) - (at - told) :])
                told = at
    except Exception as error:
        if isinstance(error, MimicError) and not isinstance(error, NoAnswerError):
            raise  # no such job, or not for us: trying again will not help
        raise _Dropped(told, heard, error) from error
    finally:
        with suppress(Exception):
            await chunks.aclose()


async def _next(client: JobClient, name: str, chunks: Any) -> str | None:
    """The next chunk, None at the end. Silence makes sure that the server is still there."""
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
