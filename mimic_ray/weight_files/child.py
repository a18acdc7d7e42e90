"""The process that opens untrusted torch files: python -m mimic_ray.weight_files.child FD

It forks for each file that arrives on the socket FD. A message is the path of a folder and the
descriptor of the file. The fork runs under limits on memory and time, writes `reply.json` and
tensors to the folder and exits. The reply on the socket is its exit code, negative for a signal.
Only a job that writes needs torch. See sandbox.py for the other end.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import Any

from mimic_ray.base import files
from mimic_ray.base.errors import MimicError, UnsafeCheckpointError
from mimic_ray.weight_files import dcp_items
from mimic_ray.weight_files.describe import described, write_tensors
from mimic_ray.weight_files.sandbox import REPLY, REQUEST, TENSORS, WAITS, WRITTEN
from mimic_ray.weight_files.torch_file import load_torch
from mimic_ray.weight_files.walk import walk


def read(file: BufferedReader, request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Writes all plain named tensors to TENSORS, numbered; returns what `describe` does, too."""
    content = load_torch(file, request["name"], request["format"], request["size"])
    found = walk(content.tree)
    with files.disk_errors(folder / TENSORS):
        numbers = write_tensors(found, content.storages, folder / TENSORS, request)
    return described(content, found) | {"numbers": numbers}


def describe(file: BufferedReader, request: dict[str, Any], folder: Path) -> dict[str, Any]:  # noqa: ARG001 - writes no file
    """Returns the paths, shapes and types of all named tensors, and what else is in the file."""
    content = load_torch(file, request["name"], request["format"], request["size"])
    return described(content, walk(content.tree))


def write(file: BufferedReader, request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Writes the file to WRITTEN with tensors replaced by those in TENSORS."""
    # Imported here, because the other jobs need no torch.
    from mimic_ray.weight_files.rewrite import rewrite

    content = load_torch(file, request["name"], request["format"], request["size"])
    with files.disk_errors(folder / WRITTEN):
        rewrite(content, request, folder / TENSORS, folder / WRITTEN)
    return {}


JOBS: dict[str, Callable[[BufferedReader, dict[str, Any], Path], dict[str, Any]]] = {
    "read": read,
    "describe": describe,
    "write": write,
    "dcp_index": dcp_items.index,
    "dcp_read": dcp_items.read_items,
    "dcp_patch": dcp_items.patch_items,
}


def serve(channel: socket.socket) -> None:
    """Forks for each file until the other end closes the socket."""
    while True:
        message, descriptors, _flags, _address = socket.recv_fds(channel, 4096, 1)
        if not message:
            return
        folder = Path(message.decode())
        if json.loads((folder / REQUEST).read_text())["job"] == "write":
            # Before the fork, whose limits are too low for it; once for all files.
            from mimic_ray.weight_files import rewrite  # noqa: F401
        child = os.fork()
        if child == 0:
            channel.close()
            os._exit(_work(folder, descriptors[0]))
        os.close(descriptors[0])
        _pid, status = os.waitpid(child, 0)
        channel.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _work(folder: Path, descriptor: int) -> int:
    """Runs REQUEST and writes REPLY. Returns 0, or 1 if not even an error could be written."""
    try:
        request = json.loads((folder / REQUEST).read_text())
        before = _limit(request["memory_bytes"], request["seconds"])
        try:
            os.lseek(descriptor, 0, os.SEEK_SET)  # the position is shared with the parent
            with os.fdopen(descriptor, "rb") as file:
                reply = JOBS[request["job"]](file, request, folder)
        except MimicError as error:
            reply = {"error": type(error).__name__, "message": error.template}
        except MemoryError:
            message = (
                f"{request['name']} needs more than {request['memory_bytes']:,} bytes of memory "
                f"for a file of {request['size']:,} bytes. Ask its author for the weights alone."
            )
            reply = {"error": UnsafeCheckpointError.__name__, "message": message}
        except RecursionError:
            message = (
                f"{request['name']} is nested deeper than any network. Ask its author for the "
                "weights alone."
            )
            reply = {"error": UnsafeCheckpointError.__name__, "message": message}
        except Exception as error:
            reply = {"error": "", "message": repr(error)}
        resource.setrlimit(resource.RLIMIT_AS, before)
        (folder / REPLY).write_text(json.dumps(reply))
    except BaseException:
        return 1
    return 0


def _limit(memory_bytes: int, seconds: float) -> tuple[int, int]:
    """Limits this process from now on; returns the previous limits on memory."""
    # In addition to what the imports have mapped: gigabytes for torch.
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (mapped + memory_bytes, before[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # SIGPROF and SIGALRM end the process. The first counts CPU time, because on a busy machine an
    # ordinary file takes long; the second ends a file that waits instead of computing.
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, WAITS * seconds)
    return before


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
