"""Hosts with Ray, and the small case of the other tests in their shared folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from mimic_ray.store.checkpoint import committed_step
from mimic_ray.store.metrics_log import read_metrics
from mimic_ray.store.run_folder import RunFolder
from tests.hosts.network import SHARED, Lan, lan, why_not
from tests.hosts.ray_cluster import RayCluster, ray_cluster

# How long a command of these tests may take before the test fails.
COMMAND_S = 240.0
# With the default recipe, a difference in the last bit of a sum over two workers grows 100,000-fold
# in 40 steps: its adversary uses signs of gradients, and its learning rate is high. With these
# settings, 200 steps of one, two or three workers stay within 2e-4 of each other, so one step
# too many, too few or on other images is noticed.
CALM = ("--set", "adversary.share=0", "--set", "training.learning_rate=1e-4")


@dataclass
class Site:
    """The hosts, their cluster and the commands of a user; paths are those of a host."""

    network: Lan
    ray: RayCluster

    def purify(self, out: str, *more: str, steps: int = 12) -> list[str]:
        """The arguments of a purification into the shared folder."""
        return [
            *("purify", "--encoder", "tiny_resnet", "--teacher", f"{SHARED}/case/teacher.pth"),
            *("--data", f"{SHARED}/case/images", "--out", f"{SHARED}/{out}", "--threads", "1"),
            *("--set", f"training.steps={steps}", "--set", "training.batch=8"),
            *("--set", "training.precision=fp32", *more),
        ]

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "mimic_ray", *arguments]

    def on(
        self, host: str, *arguments: str, timeout_s: float = COMMAND_S
    ) -> subprocess.CompletedProcess[str]:
        """Runs a mimic-ray command on a host."""
        return self.network[host].run(
            self.command(*arguments), timeout_s=timeout_s, environment=self.ray.environment
        )

    def submitted(self, name: str, *words: str, workers: str, wait: bool = True) -> list[str]:
        """The arguments that submit a command to the cluster as a job."""
        return [
            *("submit", "--address", self.ray.jobs_url, "--name", name, "--shared", str(SHARED)),
            *("--workers", workers, "--cpus-per-worker", "1"),
            *(["--wait"] if wait else []),
            *("--", *words),
        ]

    def run(self, out: str) -> Path:
        """A run folder, seen from outside."""
        return self.network.shared / out

    def committed(self, out: str) -> int:
        """The run's last committed step, 0 before the first."""
        return committed_step(RunFolder(self.run(out))) or 0


@pytest.fixture(scope="session")
def site(case: Path) -> Callable[..., object]:
    """Builds a Site with these nodes; the user's own machine, desk, is not one of them."""
    if reason := why_not():
        pytest.skip(f"cannot build hosts: {reason}")

    @contextmanager
    def build(
        *nodes: str, head_cpus: int = 1, system: dict[str, str] | None = None
    ) -> Iterator[Site]:
        with lan("desk", *nodes) as network:
            shutil.copytree(case, network.shared / "case")
            with ray_cluster(network, nodes, head_cpus=head_cpus, system=system) as ray:
                yield Site(network, ray)

    return build


def check_equal(ours: Path, theirs: Path) -> None:
    """Both runs are finished, with the same losses step by step and the same weights."""
    from safetensors.torch import load_file

    rows, expected = (read_metrics(RunFolder(run)) for run in (ours, theirs))
    assert [row["step"] for row in rows] == [row["step"] for row in expected]
    for row, other in zip(rows, expected, strict=True):
        assert row["loss"] == pytest.approx(other["loss"], rel=1e-3, abs=1e-4)
    left, right = (load_file(run / "student.safetensors") for run in (ours, theirs))
    assert left.keys() == right.keys()
    apart, size = (
        sum(float(tensor.double().square().sum()) for tensor in tensors) ** 0.5
        for tensors in ([left[name] - right[name] for name in left], right.values())
    )
    assert apart < 1e-4 * size
