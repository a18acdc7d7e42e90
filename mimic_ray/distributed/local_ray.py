"""What a private Ray needs of this machine: a short folder for sockets, and shared memory."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mimic_ray.base.errors import ResourceError
from mimic_ray.base.machine_memory import machine_memory_bytes, physical_bytes
from mimic_ray.base.resources import MEMORY_SHARE
from mimic_ray.base.text import plain
from mimic_ray.distributed import ray_private_node

# A socket's path has at most 107 bytes, and Ray appends up to 66:
# /session_2026-11-28_16-08-53_123456_1234567/sockets/plasma_store
_LONGEST_FOLDER = 41
_SHARED_MEMORY = Path("/dev/shm")
# Of the object store where there is no shared memory; Ray's default is 30 % of the memory.
_STORE_BYTES = 1 << 30
# Ray's minimum, and its share of free shared memory.
_SMALLEST_STORE_BYTES = 75 << 20
_FREE_SHARE = 0.95


def local_ray_options(
    environ: Mapping[str, str] = os.environ, shared_memory: Path = _SHARED_MEMORY
) -> dict[str, Any]:
    """Arguments of `ray.init` where Ray's own choice would fail; {} on most machines.

    Raises ResourceError if no folder can be used.
    """
    options: dict[str, Any] = {}
    usual = ray_private_node.session_folder(environ)
    folder = _first_usable([usual, *_other_folders()])
    if folder != usual:
        options["_temp_dir"] = str(folder)
    if not os.access(shared_memory, os.W_OK | os.X_OK):
        # Slower than memory. Ray does the same itself where shared memory is full or small.
        options |= {"_plasma_directory": str(folder), "object_store_memory": _STORE_BYTES}
    elif (memory := machine_memory_bytes()) < physical_bytes():
        # Ray sees the limit of a container, and not one that a scheduler sets for its jobs.
        free = shutil.disk_usage(shared_memory).free
        store = int(min((1 - MEMORY_SHARE) * memory, _FREE_SHARE * free))
        options["object_store_memory"] = max(store, _SMALLEST_STORE_BYTES)
        options["_memory"] = int(MEMORY_SHARE * memory)
    return options


def home_variable() -> dict[str, str]:
    """HOME, which Ray needs, for a user without one (an arbitrary user of a container); else {}."""
    has_home = os.path.expanduser("~") != "~"  # noqa: PTH111 - Path.expanduser raises
    return {} if has_home else {"HOME": tempfile.gettempdir()}


def _other_folders() -> list[Path]:
    user = os.getuid()
    return [
        Path("/tmp/ray"),
        *(Path(base, f"mimic-ray-{user}") for base in ("/tmp", "/var/tmp", f"/run/user/{user}")),
    ]


def _first_usable(folders: list[Path]) -> Path:
    problems = []
    for folder in dict.fromkeys(folders):
        if not (problem := _problem(folder)):
            return folder
        problems.append(f"{plain(folder)} ({problem})")
    raise ResourceError(
        f"Ray finds no folder for its sockets: {', '.join(problems)}. Set RAY_TMPDIR to a folder "
        f"that you may write to, whose path has at most {_LONGEST_FOLDER - len('/ray')} bytes. One "
        "worker runs without Ray."
    )


def _problem(folder: Path) -> str:
    """Why Ray cannot use the folder, which is created; "" if it can."""
    if len(os.fsencode(folder.absolute())) > _LONGEST_FOLDER:
        return "too long"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.name.startswith("mimic-ray-") and folder.stat().st_uid != os.getuid():
            return "belongs to another user"
        with tempfile.TemporaryDirectory(dir=folder):
            return ""
    except OSError as error:
        return (error.strerror or str(error)).lower()
