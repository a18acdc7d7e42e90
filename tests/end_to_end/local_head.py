"""A Ray head on this machine with a job server and a token, as `ray start` makes it by hand."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_START_S = 240.0
_FAKE_CLUSTER = {
    "RAY_FAKE_CLUSTER": "1",
    "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    "RAY_OVERRIDE_NODE_ID_FOR_TESTING": "f" * 51 + "0" * 5,
}


@dataclass(frozen=True)
class LocalHead:
    """`url` is the job server's, `ray_address` that of a driver. `folder` holds Ray's session, with
    what jobs brought along; `environment` is a user's."""

    url: str
    ray_address: str
    token: Path
    folder: Path
    nodes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        # A home without a token of its own.
        return {**ours, "RAY_AUTH_TOKEN_PATH": str(self.token), "HOME": str(self.folder)}

    def join(self, cpus: int = 1) -> subprocess.Popen[bytes]:
        """Another node on this machine, running; its process is that of `ray start --block`."""
        command = [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block"),
            *("--address", self.ray_address, "--num-cpus", str(cpus), "--disable-usage-stats"),
            *("--object-store-memory", str(128 << 20)),
            *("--dashboard-agent-listen-port", str(_free_port())),
        ]
        path = self.folder / f"node{len(self.nodes)}.log"
        with path.open("w") as log:
            process = subprocess.Popen(
                command,
                env={**self.environment, "RAY_AUTH_MODE": "token", "RAY_worker_niceness": "0"},
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.nodes.append(process)
        _wait_for_start(path, process)
        return process

    def processes(self, words: str) -> list[int]:
        """The ids of the cluster's processes with `words` in their command line."""
        found = []
        for pid in _of(self.folder):
            with suppress(OSError):
                if words in Path(f"/proc/{pid}/cmdline").read_text(errors="replace"):
                    found.append(pid)
        return found

    def mimic_ray(
        self, *arguments: str, timeout_s: float = 300, cwd: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """The command as a process, with variables on top."""
        return subprocess.run(
            [sys.executable, "-m", "mimic_ray", *arguments],
            env={**self.environment, **variables},
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )


@contextmanager
def local_head(cpus: int = 2, grows_to: int = 0, jobs: bool = True) -> Iterator[LocalHead]:
    """Starts a head, and ends every process of it. Without `jobs` it has no job server, whose ten
    processes take most of the time.

    Its autoscaler starts up to `grows_to` nodes of one CPU, with Ray's provider for tests.
    """
    # Short: the path of a socket has 107 bytes at most.
    folder = Path(tempfile.mkdtemp(prefix="mr", dir="/tmp"))
    token = folder / "token"
    token.touch(0o600)
    token.write_text(secrets.token_hex(32))
    port, dashboard = _free_port(), _free_port()
    head = LocalHead(f"http://127.0.0.1:{dashboard}", f"127.0.0.1:{port}", token, folder)
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"),
        *(
            "--port",
            str(port),
            "--dashboard-port",
            str(dashboard),
            f"--include-dashboard={str(jobs).lower()}",
        ),
        *("--num-cpus", str(cpus), "--temp-dir", str(folder / "t"), "--disable-usage-stats"),
        *("--ray-client-server-port", str(_free_port())),
        *("--dashboard-agent-listen-port", str(_free_port())),
        *("--object-store-memory", str(128 << 20)),
    ]
    environment = {**head.environment, "RAY_AUTH_MODE": "token", "RAY_worker_niceness": "0"}
    if grows_to:
        configuration = folder / "cluster.yaml"
        configuration.write_text(json.dumps(_growing(head.ray_address, grows_to)))
        command.append(f"--autoscaling-config={configuration}")
        environment |= _FAKE_CLUSTER
    with (folder / "head.log").open("w") as log:
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_for(head, process, jobs)
        yield head
    finally:
        # Each process of it names our folder, and nothing here is worth an orderly end. The first
        # to be killed may just have started another.
        for _ in range(5):
            for pid in _of(folder):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for ended in (process, *head.nodes):
            ended.wait(15)
        shutil.rmtree(folder, ignore_errors=True)


def _growing(address: str, nodes: int) -> dict[str, Any]:
    """A configuration of an autoscaler, with all keys that it reads."""
    worker = {"resources": {"CPU": 1}, "min_workers": 0, "max_workers": nodes, "node_config": {}}
    head = {"resources": {"CPU": 0}, "max_workers": 0, "node_config": {}}
    provider = {
        "type": "fake_multinode",
        "gcs_address": address,
        **dict.fromkeys(
            ("use_node_id_as_ip", "disable_node_updaters", "disable_launch_config_check"), True
        ),
    }
    commands = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray")
    return {
        "cluster_name": "growing",
        "max_workers": nodes,
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": 5,
        "provider": provider,
        "available_node_types": {"ray.head.default": head, "worker": worker},
        "head_node_type": "ray.head.default",
        **{key: {} for key in ("auth", "docker", "file_mounts")},
        **{f"{name}_commands": [] for name in (*commands, "worker_start_ray")},
        "file_mounts_sync_continuously": False,
        **{key: [] for key in ("cluster_synced_files", "rsync_exclude", "rsync_filter")},
    }


def _wait_for(head: LocalHead, process: subprocess.Popen[bytes], jobs: bool) -> None:
    log = head.folder / "head.log"
    _wait_for_start(log, process)
    deadline = time.monotonic() + _START_S
    while jobs and head.mimic_ray("list", "--address", head.url).returncode:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"no job server: {log.read_text()[-3000:]}")
        time.sleep(0.3)


def _wait_for_start(log: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    while "Ray runtime started" not in log.read_text():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"no node: {log.read_text()[-3000:]}")
        time.sleep(0.3)


def _of(folder: Path) -> Iterator[int]:
    wanted = str(folder).encode()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if wanted in (process / "cmdline").read_bytes() + (process / "environ").read_bytes():
                yield int(process.name)


# The system may give a port again that nothing listens on yet.
_GIVEN: set[int] = set()


def _free_port() -> int:
    """Another one at each call, outside 10002 to 19999, which are Ray's workers'."""
    for _ in range(100):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port >= 20000 and port not in _GIVEN:
            _GIVEN.add(port)
            return port
    raise RuntimeError("no port is free")
