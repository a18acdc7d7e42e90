"""Following the log of a job through dropped connections: every line once, with a time limit."""

from __future__ import annotations

import asyncio

import pytest

from mimic_ray.base.errors import ResourceError, UnknownNameError
from mimic_ray.jobs import job_logs
from mimic_ray.jobs.job_client import Job, NoAnswerError
from mimic_ray.jobs.job_logs import follow

LOG = "".join(f"line {number}\n" for number in range(20))


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(job_logs, "_FIRST_RETRY_S", 0.001)
    monkeypatch.setattr(job_logs, "_LONGEST_RETRY_S", 0.002)
    monkeypatch.setattr(job_logs, "_SILENCE_S", 0.02)


class Server:
    """Sends the log from its beginning on each connection, and loses it after `drops` chunks.

    A chunk has `size` characters. `how` says how a connection drops: an error, endless silence, or
    an end that looks normal.
    """

    server = type("S", (), {"option": "", "__str__": lambda self: "http://head:8265"})()

    def __init__(self, drops, *, size=7, how="error", log=LOG, away_after_end=0):
        self.drops, self.size, self.how, self.log = list(drops), size, how, log
        self.connections = 0
        self.away = away_after_end
        self.silent = False

    async def tail(self, name):  # noqa: ARG002 - the client's
        self.connections += 1
        limit = self.drops.pop(0) if self.drops else None
        for number, start in enumerate(range(0, len(self.log), self.size)):
            if number == limit:
                if self.how == "error":
                    raise ConnectionResetError("gone")
                if self.how == "silence":
                    self.silent = True
                    await asyncio.sleep(3600)
                return
            yield self.log[start : start + self.size]
        self.drops = []

    def job(self, name):
        if self.silent:
            self.silent = False
            raise NoAnswerError("no answer")
        if self.away and not self.drops:
            self.away -= 1
            raise NoAnswerError("no answer")
        return Job(name, "RUNNING" if self.drops else "SUCCEEDED")

    def logs(self, name):  # noqa: ARG002
        return self.log


def followed(server, **how):
    written = []
    job = follow(server, "j", written.append, **how)
    assert job.state == "SUCCEEDED"
    return "".join(written)


@pytest.mark.parametrize("how", ["error", "silence", "end"])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_dropped_connections_neither_repeat_nor_lose_text(how, size):
    server = Server([3, 0, 5, 5, 2, 9], size=size, how=how)
    assert followed(server) == LOG
    assert server.connections > 1 or size == 1000


def test_the_last_lines_are_fetched_if_the_stream_ends_early():
    """Ray closes the stream when the job has ended, sometimes before it has read the last lines."""
    server = Server([])
    server.log, whole = LOG[:50], LOG
    server.logs = lambda name: whole
    assert followed(server) == LOG


def test_a_server_that_is_unreachable_when_the_log_ends_is_retried():
    assert followed(Server([], away_after_end=3)) == LOG


def test_a_lost_connection_is_reported_once():
    sentences = []
    followed(Server([4, 0, 0, 0]), on_lost=sentences.append)
    assert len(sentences) == 1
    assert "http://head:8265" in sentences[0]


def test_a_server_that_stays_unreachable_is_an_error_with_advice():
    server = Server([2] + [0] * 10_000)
    with pytest.raises(ResourceError, match="mimic-ray logs j --follow"):
        follow(server, "j", lambda text: None, retry_for_s=0.05)


def test_an_unknown_job_is_not_retried():
    server = Server([])

    async def unknown(name):
        raise UnknownNameError("job", name, [], "")
        yield ""

    server.tail = unknown
    with pytest.raises(UnknownNameError):
        follow(server, "j", lambda text: None)
