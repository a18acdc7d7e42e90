"""A door before an S3 server that fails on purpose: by a seed, or for as long as it is told to.

Each request meets one of: nothing; 503 before it reaches the server; a connection that breaks
before; one that breaks after, so that it is unknown whether it was done; an answer cut in half.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from urllib.parse import urlsplit

FAULTS = ("503", "broken before", "broken after", "cut")


class Door:
    """`rate` of the requests fail, drawn from `seed`; all of them while `away`."""

    def __init__(self, seed: int, rate: float) -> None:
        self.rate, self.away = rate, False
        self.endpoint = ""
        self.met: dict[str, int] = dict.fromkeys(("", *FAULTS), 0)
        self._random, self._lock = random.Random(seed), Lock()

    def fail(self, seed: int, rate: float) -> None:
        """From here on with these."""
        self.rate, self._random = rate, random.Random(seed)

    def fault(self) -> str:
        with self._lock:
            drawn = self._random.choice(FAULTS) if self._random.random() < self.rate else ""
            met = "503" if self.away else drawn
            self.met[met] += 1
            return met


@contextmanager
def door(server: str, seed: int = 0, rate: float = 0.0) -> Iterator[Door]:
    """Opens one before the server at the URL `server`; its own URL is `endpoint`."""
    made = Door(seed, rate)
    host = urlsplit(server).netloc

    class Handler(_Handler):
        door = made
        behind = host

    listening = _Server(("127.0.0.1", 0), Handler)
    made.endpoint = f"http://127.0.0.1:{listening.server_port}"
    thread = Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that was killed, or a connection that was broken: that is what this is for."""


class _Handler(BaseHTTPRequestHandler):
    door: Door
    behind: str
    protocol_version = "HTTP/1.1"

    def _pass_on(self) -> None:
        body = self._body()
        fault = self.door.fault()
        if fault == "503":
            self._answer(503, {"Content-Type": "application/xml"}, _SLOW_DOWN)
            return
        if fault == "broken before":
            self._break()
            return
        try:
            status, headers, content = self._ask(body)
        except (OSError, HTTPException):
            self._break()  # the server was stopped
            return
        if fault == "broken after":
            self._break()
            return
        self._answer(status, headers, content, cut=fault == "cut")

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = HTTPConnection(self.behind, timeout=30)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _OF_THE_WAY}
        connection.request(self.command, self.path, body, {**headers, "Host": self.behind})
        answer = connection.getresponse()
        content = answer.read()
        found = {k: v for k, v in answer.getheaders() if k.lower() not in _OF_THE_WAY - {_LENGTH}}
        connection.close()
        return answer.status, found, content

    def _answer(
        self, status: int, headers: dict[str, str], content: bytes, *, cut: bool = False
    ) -> None:
        with suppress(OSError):
            self.send_response_only(status)
            lengths = [k for k in headers if k.lower() == _LENGTH]
            # The length of what HEAD would have sent is kept; anything else is as long as it is.
            if self.command != "HEAD" or not lengths:
                headers = {k: v for k, v in headers.items() if k not in lengths}
                headers["Content-Length"] = str(len(content))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content[: len(content) // 2] if cut else content)
            self.wfile.flush()
        if cut:
            self._break()

    def _break(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        """Nothing: the terminal is the tests'."""


_LENGTH = "content-length"
_OF_THE_WAY = {_LENGTH, "connection", "transfer-encoding", "host", "expect"}
_SLOW_DOWN = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code>'
    b"<Message>Please reduce your request rate.</Message></Error>"
)
