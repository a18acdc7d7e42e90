"""Reads untrusted torch files in a child process with limits on memory and time.

The reader runs no code of a file, but a file can be made to need much memory or time. The limits
grow with the file: 10 s plus 1 s per 20 MB; 512 MB of memory plus four times the size to read it
(twice, but arrays within a pickle are mapped, decoded and copied), or seven times the size to write
a copy (also the new tensors in full precision, and converted).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any

from mimic_ray.base import errors, package
from mimic_ray.base.errors import DamagedCheckpointError, ResourceError, UnsafeCheckpointError

MEMORY_BYTES = 512 << 20
MEMORY_TIMES = {
    "describe": 4,
    "read": 4,
    "write": 7,
    "dcp_index": 20,
    "dcp_read": 2,
    "dcp_patch": 3,
}
SECONDS = 10.0
BYTES_PER_S = 20e6
# The CPU seconds above may take so many times as long on the clock: the machine may be busy.
WAITS = 10

# Importing torch may take long on a slow or busy disk.
_START_S = 300.0

# The files that the two processes exchange.
REQUEST, REPLY, TENSORS, WRITTEN = "request.json", "reply.json", "tensors.safetensors", "written"


@contextmanager
def working_folder() -> Iterator[Path]:
    """A temporary folder, readable by this user only, to exchange tensors."""
    with tempfile.TemporaryDirectory(prefix="mimic-ray-") as folder:
        yield Path(folder)


@contextmanager
def shared() -> Iterator[None]:
    """Within the block one child process reads all files, so it imports torch only once."""
    global _shared
    if _shared is not None:
        yield
        return
    _shared = Sandbox()
    try:
        yield
    finally:
        _shared.close()
        _shared = None


def run(job: str, file: BufferedReader, folder: Path, **request: Any) -> dict[str, Any]:
    """The child's reply to one job of child.py, which writes tensors to `folder`.

    `request` has at least the file's `name` for messages. Raises the MimicError of the child,
    UnsafeCheckpointError if it exceeded a limit, DamagedCheckpointError if the file crashed it.
    """
    size = os.fstat(file.fileno()).st_size
    request |= {
        "job": job,
        "size": size,
        "memory_bytes": MEMORY_TIMES[job] * size + MEMORY_BYTES,
        "seconds": SECONDS + size / BYTES_PER_S,
    }
    (folder / REQUEST).write_text(json.dumps(request))
    sandbox = _shared or Sandbox()
    try:
        code = sandbox.send(folder, file, request["seconds"])
    finally:
        if sandbox is not _shared:
            sandbox.close()
    if code != 0:
        raise _error_of(code, request["name"], request["seconds"])
    reply: dict[str, Any] = json.loads((folder / REPLY).read_text())
    if "error" in reply:
        kind = getattr(errors, reply["error"], RuntimeError)
        raise kind(reply["message"])
    return reply


class Sandbox:
    """The child and the socket to it. It starts with the first file and reads one at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None

    def send(self, folder: Path, file: BufferedReader, seconds: float) -> int:
        """The exit code of the job whose request is in `folder`; negative for a signal."""
        channel = self._channel or self._start()
        try:
            channel.settimeout(_START_S + WAITS * seconds)
            socket.send_fds(channel, [str(folder).encode()], [file.fileno()])
            reply = channel.recv(32)
            if not reply:
                raise ConnectionError("it exited")
            return int(reply)
        except OSError as error:
            self.close()
            raise ResourceError(
                f"The process that reads torch files did not answer ({error}): check that there is "
                "memory for a second Python process with torch."
            ) from error
        except BaseException:  # Ctrl-C: the child must not continue
            self.close()
            raise

    def _start(self) -> socket.socket:
        self._channel, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                # -P: do not import modules from the current folder, which may be untrusted.
                [sys.executable, "-P", "-m", f"{__package__}.child", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        return self._channel

    def close(self) -> None:
        """Kills the child and its forks."""
        if self._channel is not None:
            self._channel.close()
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._channel = self._process = None


_shared: Sandbox | None = None


def _environment() -> dict[str, str]:
    """Our environment with this package on the path, and without threads, because it forks."""
    home = str(package.HOME)
    path = os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _error_of(code: int, name: str, seconds: float) -> errors.MimicError:
    if code in (-signal.SIGPROF, -signal.SIGALRM):
        return UnsafeCheckpointError(
            f"{name} took more than {seconds:.0f} s to open, far too long for its size: ask its "
            "author for the weights alone."
        )
    if code == -signal.SIGKILL:
        return ResourceError(
            f"The system killed the process that read {name}, probably because memory ran out: "
            "free some, or use a larger machine."
        )
    what = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return DamagedCheckpointError(
        f"{name} crashed the process that read it ({what}): ask its author for the weights as "
        "safetensors."
    )
