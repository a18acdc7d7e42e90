"""Ray's private parts that concern a node of this machine: its start, and the clusters that run.

See ray_private.py about releases of Ray. Imports Ray only inside functions.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

# As Ray's own message.
_TOO_SLOW = "the node timed out during startup"


@contextmanager
def patient_start(limit_s: float) -> Iterator[None]:
    """Gives `ray.init` so many seconds to start a node, instead of 30, which Ray does not let set.

    A raylet that dies ends the wait. After a failure, ends the processes that were started: Ray
    leaves them.
    """
    import psutil  # Ray's own copy, found after importing ray
    from ray._private import services

    def started() -> set[Any]:
        return {*psutil.Process().children(recursive=True)} - before

    def get_node(*arguments: Any) -> Any:
        while True:
            try:
                return get_node_once(*arguments)
            except RuntimeError:
                if not _raylet_runs(started()):
                    raise ConnectionError("its raylet ended while it started") from None
                if time.monotonic() > deadline:
                    raise ConnectionError(_TOO_SLOW) from None
                time.sleep(0.2)

    before: set[Any] = set()
    before, get_node_once = started(), services.get_node
    deadline = time.monotonic() + limit_s
    services.get_node = get_node
    try:
        yield
    except BaseException:
        for process in started():
            with suppress(psutil.Error):
                process.kill()
        raise
    finally:
        services.get_node = get_node_once


def _raylet_runs(processes: Iterable[Any]) -> bool:
    import psutil

    with suppress(psutil.Error):
        return any(p.name() == "raylet" and p.status() != psutil.STATUS_ZOMBIE for p in processes)
    return True


def start_was_too_slow(error: BaseException) -> bool:
    return "timed out during startup" in str(error)


def session_folder(environ: Mapping[str, str]) -> Path:
    """Where Ray keeps sockets and logs, unless it is told another folder."""
    return Path(environ.get("RAY_TMPDIR") or environ.get("TMPDIR") or "/tmp", "ray")


def last_started_cluster(environ: Mapping[str, str]) -> str:
    """HOST:PORT of the last `ray start` on this machine, "" if it was stopped or unreadable."""
    with suppress(OSError, UnicodeDecodeError):
        return (session_folder(environ) / "ray_current_cluster").read_text().strip()
    return ""


def running_clusters(processes: Path = Path("/proc")) -> set[str]:
    """HOST:PORT of every head that a raylet of this machine belongs to."""
    found = set()
    for file in processes.glob("[0-9]*/cmdline"):
        with suppress(OSError, UnicodeDecodeError):  # gone meanwhile, or not ours
            words = file.read_bytes().decode().split("\0")
            if Path(words[0]).name == "raylet":
                found |= {w.partition("=")[2] for w in words if w.startswith("--gcs-address=")}
    return found
