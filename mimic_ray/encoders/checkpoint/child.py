"""The process that opens untrusted torch files: python -m mimic_ray.encoders.checkpoint.child FD

It imports torch once, then forks for each file that arrives on the socket FD. A message is the path
of a folder and the descriptor of the file. The fork runs under limits on memory and time, writes
`reply.json` and tensors to the folder and exits. The reply on the socket is its exit code, negative
for a signal. See sandbox.py for the other end.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import astuple
from io import BufferedReader
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mimic_ray.base import files
from mimic_ray.base.errors import (
    DamagedCheckpointError,
    MimicError,
    UnsafeCheckpointError,
)
from mimic_ray.base.text import plain
from mimic_ray.encoders.checkpoint.layout import infos
from mimic_ray.encoders.checkpoint.sandbox import REPLY, REQUEST, TENSORS, WRITTEN
from mimic_ray.encoders.checkpoint.sniff import TORCH_ZIP
from mimic_ray.encoders.checkpoint.tensors import replacement, savable
from mimic_ray.encoders.checkpoint.torch_file import load_torch
from mimic_ray.encoders.checkpoint.walk import walk


def read(file: BufferedReader, request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Writes all named tensors to TENSORS, numbered; returns their paths and the notes."""
    name, size = request["name"], request["size"]
    found = walk(load_torch(file, name, request["format"], size), name, size)
    numbered: dict[str, Tensor] = {}
    groups = []
    for path, tensors in found.groups.items():
        numbers = {key: str(len(numbered) + index) for index, key in enumerate(tensors)}
        numbered |= {numbers[key]: tensor for key, tensor in tensors.items()}
        groups.append({"path": path, "tensors": numbers})
    with files.disk_errors(folder / TENSORS):
        save_file(savable(numbered), folder / TENSORS)
    return {"groups": groups, "notes": found.notes}


def describe(file: BufferedReader, request: dict[str, Any], folder: Path) -> dict[str, Any]:  # noqa: ARG001 - writes no file
    """Returns the paths, shapes and types of all named tensors, checked, and the notes."""
    name, size = request["name"], request["size"]
    found = walk(load_torch(file, name, request["format"], size), name, size)
    groups = [
        {"path": path, "tensors": {key: astuple(info) for key, info in infos(tensors).items()}}
        for path, tensors in found.groups.items()
    ]
    return {"groups": groups, "notes": found.notes}


def write(file: BufferedReader, request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Writes the file to WRITTEN with tensors of one group replaced by those in TENSORS."""
    name, size, path = request["name"], request["size"], tuple(request["group"])
    content = load_torch(file, name, request["format"], size)
    if not request["keys"].keys() <= walk(content, name, size).groups.get(path, {}).keys():
        raise DamagedCheckpointError(
            f"{name} has changed since it was read: restore the original file."
        )
    group = content
    for step in path:
        group = group[step]
    replacements = load_file(folder / TENSORS)
    for key, number in request["keys"].items():
        old = group[key]
        resized = key in request["resized"]
        new = replacement(old, replacements[number], plain(key), name, resized)
        is_parameter = isinstance(old, torch.nn.Parameter)
        group[key] = torch.nn.Parameter(new, old.requires_grad) if is_parameter else new
    as_zip = request["format"] == TORCH_ZIP
    with files.disk_errors(folder / WRITTEN), (folder / WRITTEN).open("wb") as written:
        torch.save(content, written, _use_new_zipfile_serialization=as_zip)
    return {}


JOBS: dict[str, Callable[[BufferedReader, dict[str, Any], Path], dict[str, Any]]] = {
    "read": read,
    "describe": describe,
    "write": write,
}


def serve(channel: socket.socket) -> None:
    """Forks for each file until the other end closes the socket."""
    while True:
        message, descriptors, _flags, _address = socket.recv_fds(channel, 4096, 1)
        if not message:
            return
        child = os.fork()
        if child == 0:
            channel.close()
            os._exit(_work(Path(message.decode()), descriptors[0]))
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
        except RecursionError:  # in dictionary keys, which walk.py does not enter
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
    # In addition to the gigabytes that `import torch` has mapped.
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (mapped + memory_bytes, before[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.setitimer(signal.ITIMER_REAL, seconds)  # SIGALRM ends the process
    return before


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
