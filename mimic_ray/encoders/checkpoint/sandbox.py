"""Hands a stranger's torch file to a child process with its own memory limit and its own clock.

weights_only=True stops code, not appetite: 1 kB can ask for gigabytes, or for all eternity. The
limits grow with the file: 10 s and 20 MB/s of time; 512 MB of memory, and twice its size to read
it or five times to write one like it (the old, the new in full precision, the new as the old).
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

import mimic_ray
from mimic_ray.base import errors
from mimic_ray.base.errors import DamagedCheckpointError, ResourceError, UnsafeCheckpointError

MEMORY_BYTES = 512 << 20
MEMORY_TIMES = {"read": 2, "write": 5}
SECONDS = 10.0
BYTES_PER_S = 20e6

# torch's import on a slow or busy disk is not the file's fault.
_START_S = 300.0

# What lies in the folder between the two processes.
REQUEST, REPLY, TENSORS, WRITTEN = "request.json", "reply.json", "tensors.safetensors", "written"


@contextmanager
def working_folder() -> Iterator[Path]:
    """A temporary folder, for this user only, through which tensors travel."""
    with tempfile.TemporaryDirectory(prefix="mimic-ray-") as folder:
        yield Path(folder)


@contextmanager
def kept() -> Iterator[None]:
    """Within the block one child serves every file, so that torch's import is paid for once."""
    global _kept
    if _kept is not None:
        yield
        return
    _kept = Sandbox()
    try:
        yield
    finally:
        _kept.close()
        _kept = None


def run(job: str, file: BufferedReader, folder: Path, **request: Any) -> dict[str, Any]:
    """The child's reply to one job of child.py; tensors are left in `folder`.

    `request` has at least the file's `name` for messages. Raises the MimicError that the child
    met, UnsafeCheckpointError when a limit ended it, DamagedCheckpointError when the file broke it.
    """
    size = os.fstat(file.fileno()).st_size
    request |= {
        "job": job,
        "size": size,
        "memory_bytes": MEMORY_TIMES[job] * size + MEMORY_BYTES,
        "seconds": SECONDS + size / BYTES_PER_S,
    }
    (folder / REQUEST).write_text(json.dumps(request))
    sandbox = _kept or Sandbox()
    try:
        code = sandbox.send(folder, file, request["seconds"])
    finally:
        if sandbox is not _kept:
            sandbox.close()
    if code != 0:
        raise _ended(code, request["name"], request["seconds"])
    reply: dict[str, Any] = json.loads((folder / REPLY).read_text())
    if "error" in reply:
        kind = getattr(errors, reply["error"], RuntimeError)
        raise kind(reply["message"])
    return reply


class Sandbox:
    """The child and the socket to it. Starts with the first file; serves one after the other."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None

    def send(self, folder: Path, file: BufferedReader, seconds: float) -> int:
        """The exit code of the job whose request lies in `folder`; negative for a signal."""
        channel = self._channel or self._start()
        try:
            channel.settimeout(_START_S + seconds)
            socket.send_fds(channel, [str(folder).encode()], [file.fileno()])
            answer = channel.recv(32)
            if not answer:
                raise ConnectionError("it ended")
            return int(answer)
        except OSError as error:
            self.close()
            raise ResourceError(
                f"The process that reads torch files did not answer ({error}): is there memory "
                "for a second Python with torch?"
            ) from error
        except BaseException:  # Ctrl-C: the child must not go on alone
            self.close()
            raise

    def _start(self) -> socket.socket:
        self._channel, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                # -P: no module is taken from the current folder, which may be the stranger's.
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
        """Ends the child and what it has forked."""
        if self._channel is not None:
            self._channel.close()
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._channel = self._process = None


_kept: Sandbox | None = None


def _environment() -> dict[str, str]:
    """Ours, with the folder of this package on the path, and without threads to fork across."""
    home = str(Path(mimic_ray.__file__).parents[1])
    path = os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _ended(code: int, name: str, seconds: float) -> errors.MimicError:
    if code == -signal.SIGALRM:
        return UnsafeCheckpointError(
            f"{name} took more than {seconds:.0f} s to open, far too long for its size: ask its "
            "author for the weights alone."
        )
    if code == -signal.SIGKILL:
        return ResourceError(
            f"The system ended the process that read {name}, as it does when memory runs out: "
            "free some, or use a larger machine."
        )
    what = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return DamagedCheckpointError(
        f"{name} broke the process that read it ({what}): ask its author for the weights alone, "
        "as safetensors."
    )
