"""The process that opens strangers' torch files: python -m mimic_ray.encoders.checkpoint.child FD

It imports torch once, then forks for every file that comes through the socket FD: a message is the
path of a folder, with the opened file beside it. The fork works under limits on memory and time,
leaves `reply.json` and tensors in the folder and ends; the answer on the socket is its exit code,
negative for a signal. See sandbox.py for the other end.
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
from mimic_ray.encoders.checkpoint.sandbox import REPLY, REQUEST, TENSORS, WRITTEN
from mimic_ray.encoders.checkpoint.sniff import TORCH_ZIP
from mimic_ray.encoders.checkpoint.tensors import replacement, savable
from mimic_ray.encoders.checkpoint.torch_file import load_torch
from mimic_ray.encoders.checkpoint.walk import walk


def read(file: BufferedReader, request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Leaves all named tensors as TENSORS, numbered; answers with their paths and the notes."""
    name, size = request["name"], request["size"]
    found = walk(load_torch(file, name, request["format"], size), name, size)
    numbered: dict[str, Tensor] = {}
    groups = []
    for path, tensors in found.groups.items():
        numbers = {key: str(len(numbered) + place) for place, key in enumerate(tensors)}
        numbered |= {numbers[key]: tensor for key, tensor in tensors.items()}
        groups.append({"path": path, "tensors": numbers})
    with files.disk_errors(folder / TENSORS):
        save_file(savable(numbered), folder / TENSORS)
    return {"groups": groups, "notes": found.notes}


def write(file: BufferedReader, request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Leaves the file as WRITTEN with the tensors of one group replaced by those in TENSORS."""
    name, size, path = request["name"], request["size"], tuple(request["group"])
    content = load_torch(file, name, request["format"], size)
    if not request["keys"].keys() <= walk(content, name, size).groups.get(path, {}).keys():
        raise DamagedCheckpointError(
            f"{name} has changed since it was read: put the file back that was read."
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
    "write": write,
}


def serve(channel: socket.socket) -> None:
    """Forks for each file until the other end closes."""
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
    """Does what REQUEST says and leaves REPLY. 0, or 1 if not even an error could be written."""
    try:
        request = json.loads((folder / REQUEST).read_text())
        before = _limit(request["memory_bytes"], request["seconds"])
        try:
            os.lseek(descriptor, 0, os.SEEK_SET)  # the place in the file is shared with the parent
            with os.fdopen(descriptor, "rb") as file:
                reply = JOBS[request["job"]](file, request, folder)
        except MimicError as error:
            reply = {"error": type(error).__name__, "message": error.template}
        except MemoryError:
            message = (
                f"{request['name']} asks for more than {request['memory_bytes']:,} bytes of memory "
                f"with {request['size']:,} bytes of file. Ask its author for the weights alone."
            )
            reply = {"error": UnsafeCheckpointError.__name__, "message": message}
        except RecursionError:  # met by pickle in keys, which the walk does not enter
            message = (
                f"{request['name']} nests deeper than a network does. Ask its author for the "
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
    """Bounds this process from here on; returns the bounds on memory that held before."""
    # After `import torch`, which alone maps gigabytes: the bound is on what comes on top.
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (mapped + memory_bytes, before[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.setitimer(signal.ITIMER_REAL, seconds)  # SIGALRM ends the process
    return before


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
