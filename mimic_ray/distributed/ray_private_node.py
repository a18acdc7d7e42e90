"""Ray's private parts that concern a node of this machine: its start, and the clusters that run.

See base/ray_version.py about releases of Ray. Imports Ray only inside functions.
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
def start_within(limit_s: float) -> Iterator[None]:
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
    """Where Ray keeps sockets and logs, unless another folder is set."""
    return Path(environ.get("RAY_TMPDIR") or environ.get("TMPDIR") or "/tmp", "ray")


def last_started_cluster(environ: Mapping[str, str]) -> str:
    """HOST:PORT of the last `ray start` on this machine, "" if it was stopped or unreadable."""
    with suppress(OSError, UnicodeDecodeError):
        return (session_folder(environ) / "ray_current_cluster").read_text().strip()
    return ""


def running_clusters(processes: Path = Path("/proc")) -> set[str]:
    """HOST:PORT of every head that a raylet of this machine belongs to."""
    return {
        address
        for words in _command_lines(processes)
        if Path(words[0]).name == "raylet"
        for address in _values(words, "--gcs-address=")
    }


def declared_nodes(address: str, processes: Path = Path("/proc")) -> list[dict[str, float]] | None:
    """The resources of every node that the autoscaler of the cluster at `address` may have.

    Ray does not report them, but the autoscaler of `ray up` runs on the head, and its configuration
    is a file. None if this is not the head, or no resources are declared.
    """
    for words in _command_lines(processes):
        files = _values(words, "--autoscaling-config=")
        if files and address in _values(words, "--gcs-address="):
            with suppress(Exception):  # not readable for us, or another layout
                return _nodes_of(Path(files[0]))
    return None


def _nodes_of(configuration: Path) -> list[dict[str, float]] | None:
    import yaml

    content = yaml.safe_load(configuration.read_text())
    found = []
    for name, kind in content["available_node_types"].items():
        is_head = name == content["head_node_type"]
        most = 1 if is_head else min(kind.get("max_workers", 0), content["max_workers"])
        amounts = {k: float(v) for k, v in (kind.get("resources") or {}).items()}
        if most and not amounts and not is_head:
            return None
        found += [amounts] * most
    return found


def _command_lines(processes: Path) -> Iterator[list[str]]:
    for file in processes.glob("[0-9]*/cmdline"):
        with suppress(OSError, UnicodeDecodeError):  # gone meanwhile, or not ours
            yield file.read_bytes().decode().split("\0")


def _values(words: Iterable[str], option: str) -> list[str]:
    return [word.removeprefix(option) for word in words if word.startswith(option)]
