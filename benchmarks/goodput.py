"""Goodput under faults: a purification by three workers, one of which is killed again and again.

Three Ray nodes of one CPU on this machine, or three hosts in namespaces (--hosts). Prints the share
of the computed steps that were useful (not repeated after a restart), the share of the time, and
what follows for a larger cluster.

    python -m benchmarks.goodput [--minutes 15] [--kill-every 60] [--hosts]
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mimic_ray.encoders import encoder_registry
from tests.end_to_end.local_head import local_head
from tests.hosts.network import SHARED, lan, why_not
from tests.hosts.ray_cluster import ray_cluster

_POLL_S, _START_S = 0.1, 600.0
# The interval between commits and their share of the time: execution/background_commit.py.
_INTERVAL_S, _COMMIT_SHARE = 10.0, 0.02
_IMAGES = 240


@dataclass(frozen=True)
class Goodput:
    """`restarts_s` has the seconds from each kill to the next new step."""

    computed: int
    useful: int
    seconds: float
    lost: Sequence[int]
    restarts_s: Sequence[float]

    @property
    def of_steps(self) -> float:
        return self.useful / max(1, self.computed)

    @property
    def of_time(self) -> float:
        """Against the same time without a fault: at the pace between restarts."""
        working_s = self.seconds - sum(self.restarts_s)
        return self.of_steps * working_s / self.seconds


class StepCount:
    """Follows the last step of a run, which falls when the run restarts from a checkpoint."""

    def __init__(self) -> None:
        self.computed, self.lost = 0, list[int]()
        self._last: int | None = None

    def saw(self, last: int) -> bool:
        """Whether there is a new step."""
        before, self._last = self._last, last
        if before is None:
            return True
        if last < before:
            self.lost.append(before - last)
            return False
        self.computed += last - before
        return last > before


def projected(failure_every_s: float, restart_s: float, interval_s: float = _INTERVAL_S) -> float:
    """Share of the time that is useful: a failure costs the restart and half an interval between
    commits, and commits cost their share."""
    return (1 - _COMMIT_SHARE) * max(0.0, 1 - (restart_s + interval_s / 2) / failure_every_s)


@dataclass(frozen=True)
class Cluster:
    """`folder` and `seen` are one folder, as the nodes and as this process name it. `workers` gives
    the ids of the workers' processes."""

    address: str
    folder: Path
    seen: Path
    start: Callable[[Sequence[str]], subprocess.Popen[str]]
    workers: Callable[[], Sequence[int]]


@contextmanager
def three_nodes(folder: Path) -> Iterator[Cluster]:
    """Three nodes of one CPU on this machine, without network between them."""
    with local_head(cpus=1, jobs=False) as head:
        nodes = [head.join(), head.join()]

        def start(command: Sequence[str]) -> subprocess.Popen[str]:
            return subprocess.Popen(
                command,
                env={**head.environment, "RAY_AUTH_MODE": "token"},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )

        yield Cluster(
            head.ray_address, folder, folder, start, lambda: head.processes("RayTrainWorker")
        )
        assert all(node.poll() is None for node in nodes), "a node ended by itself"


@contextmanager
def three_hosts() -> Iterator[Cluster]:
    """Three hosts in namespaces of their own, with network cards, disks and a shared folder."""
    names = ("head", "node1", "node2")
    with lan(*names, shared_mib=2048) as network, ray_cluster(network, names) as cluster:

        def start(command: Sequence[str]) -> subprocess.Popen[str]:
            return network["head"].start(command, cluster.environment)

        def workers() -> list[int]:
            return [pid for name in names for pid in network[name].processes("RayTrainWorker")]

        yield Cluster(cluster.address, SHARED, network.shared, start, workers)


def measure(minutes: float, kill_every_s: float, cluster: Cluster) -> Goodput:
    """Runs and kills; the time counts from the first step."""
    run = cluster.seen / "run"
    with cluster.start([sys.executable, "-m", "mimic_ray", *_arguments(cluster)]) as process:
        try:
            _wait_for(run, process)
            return _watch(run, cluster, process, 60 * minutes, kill_every_s)
        finally:
            process.kill()  # what it started ends with the cluster


def _watch(
    run: Path,
    cluster: Cluster,
    process: subprocess.Popen[str],
    seconds: float,
    every_s: float,
) -> Goodput:
    start, draw = time.monotonic(), random.Random(0)
    steps, killed_at, restarts = StepCount(), list[float](), list[float]()
    next_kill, waiting, log = start + every_s, False, 0
    while (now := time.monotonic()) - start < seconds:
        if process.poll() is not None:
            raise RuntimeError(f"the run ended: {process.communicate()[1][-3000:]}")
        last = last_step(run)
        moved = last is not None and steps.saw(last)
        # Steps that were under way do not end a restart: it replaces the log first.
        if waiting and moved and _file_of(run) != log:
            restarts.append(now - killed_at[-1])
            waiting = False
        if not waiting and now >= next_kill and (workers := cluster.workers()):
            os.kill(draw.choice(sorted(workers)), signal.SIGKILL)
            killed_at.append(now)
            waiting, next_kill, log = True, next_kill + every_s, _file_of(run)
        time.sleep(_POLL_S)
    if waiting:
        restarts.append(time.monotonic() - killed_at[-1])
    useful = steps.computed - sum(steps.lost)
    return Goodput(steps.computed, useful, time.monotonic() - start, steps.lost, restarts)


def _file_of(run: Path) -> int:
    return (run / "metrics.jsonl").stat().st_ino


def last_step(run: Path) -> int | None:
    """The step of the last whole row; None while there is none."""
    log = run / "metrics.jsonl"
    if not log.exists():
        return None
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 8192))
        lines = file.read().split(b"\n")[:-1]
    found = [line for line in lines[-1:] if line.startswith(b'{"step"')]
    return int(found[0].partition(b":")[2].partition(b",")[0]) if found else None


def _wait_for(run: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + _START_S
    while last_step(run) is None:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise RuntimeError(f"no first step: {process.communicate()[1][-3000:]}")
        time.sleep(_POLL_S)


def _arguments(cluster: Cluster) -> list[str]:
    torch.manual_seed(0)
    teacher = encoder_registry.build("cifar_resnet20").net.state_dict()
    torch.save(teacher, cluster.seen / "teacher.pth")
    (cluster.seen / "images").mkdir()
    rng = np.random.default_rng(0)
    for number in range(_IMAGES):
        pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(cluster.seen / "images" / f"{number:03}.png")
    folder = cluster.folder
    return [
        *("purify", "--encoder", "cifar_resnet20", "--teacher", str(folder / "teacher.pth")),
        *("--data", str(folder / "images"), "--out", str(folder / "run"), "--threads", "1"),
        *("--set", "training.steps=1000000", "--set", "training.batch=24"),
        *("--workers", "3", "--cpus-per-worker", "1", "--max-failures", "100000"),
        *("--address", cluster.address),
    ]


def report(found: Goodput, kill_every_s: float) -> str:
    restart_s = statistics.median(found.restarts_s) if found.restarts_s else 0.0
    lines = [
        f"goodput {found.of_steps:.1%} of the steps: {found.useful:,} useful of "
        f"{found.computed:,} computed",
        f"goodput {found.of_time:.1%} of {found.seconds:.0f} s, a worker killed every "
        f"{kill_every_s:.0f} s: {len(found.restarts_s)} kills, median {restart_s:.1f} s to the "
        f"next new step, lost steps {list(found.lost)}",
    ]
    for seconds in (restart_s, 300.0):
        lines.append(
            f"64 GPUs, one failure an hour, {seconds:.0f} s to restart: "
            f"{projected(3600, seconds):.1%}; commits 5 minutes apart: "
            f"{projected(3600, seconds, 300):.1%}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--kill-every", type=float, default=60.0)
    parser.add_argument("--hosts", action="store_true", help="in namespaces, as root")
    options = parser.parse_args()
    if options.hosts and (reason := why_not()):
        parser.error(f"no hosts on this machine: {reason}")
    with tempfile.TemporaryDirectory() as folder:
        nodes = three_hosts() if options.hosts else three_nodes(Path(folder))
        with nodes as cluster:
            found = measure(options.minutes, options.kill_every, cluster)
    print(report(found, options.kill_every))


if __name__ == "__main__":
    main()
