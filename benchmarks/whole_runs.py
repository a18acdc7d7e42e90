"""What `purify` and `tune` say that they will cost, and the start-up and commits of a plan, against
the time that they take: `python -m benchmarks.plan_accuracy --runs`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.object_storage import write_images
from benchmarks.ray_overhead import watched
from mimic_ray.encoders.encoder_registry import build
from mimic_ray.planning.run_time import START_RAY_S, START_S, Workload, commits_s

# Encoders with the steps of a purification: at most about a minute on a core, and long enough that
# `purify` states its cost.
RUNS = {"tiny_vit": 300, "cifar_resnet20": 80, "simclr_resnet18": 32}
# Steps of each of two trials.
_TRIAL_STEPS = {"tiny_vit": 100, "cifar_resnet20": 30, "simclr_resnet18": 6}
_IMAGES, _BATCH = 400, 64


@dataclass(frozen=True)
class WholeRun:
    """Seconds of a command, by its own estimate with start-up and commits, and on the clock.

    `cpu_s` are those of all its processes: on a busy machine less than the clock shows.
    """

    command: str
    encoder: str
    start_s: float
    estimated_s: float
    commits_s: float
    measured_s: float
    cpu_s: float

    @property
    def ratio(self) -> float:
        return (self.start_s + self.estimated_s + self.commits_s) / self.measured_s


def whole_runs() -> Iterator[WholeRun]:
    """Runs of both commands for each of `RUNS`, one after another."""
    with tempfile.TemporaryDirectory() as made:
        work = Path(made)
        write_images(work / "images", _IMAGES)
        for encoder, steps in RUNS.items():
            net = build(encoder).net
            torch.save(net.state_dict(), work / f"{encoder}.pth")
            size = 12.0 * sum(each.numel() for each in net.parameters())
            local = ["--local", "--no-scan"]
            yield _run("purify", encoder, work, steps, local, START_S, size)
            trials = ["--trials", "2", "--effort", "quick", "--no-early-stopping"]
            yield _run("tune", encoder, work, _TRIAL_STEPS[encoder], trials, START_RAY_S, size)


def _run(
    command: str,
    encoder: str,
    work: Path,
    steps: int,
    options: list[str],
    start_s: float,
    size: float,
) -> WholeRun:
    out = work / f"{command}-{encoder}"
    found = watched(
        [
            *(sys.executable, "-m", "mimic_ray", command, "--encoder", encoder, "--out", str(out)),
            *("--teacher", str(work / f"{encoder}.pth"), "--data", str(work / "images")),
            *("--threads", "1", "--yes", *options),
            *("--set", f"training.steps={steps}", "--set", f"training.batch={_BATCH}"),
        ]
    )
    record = json.loads((out / ("run.json" if command == "purify" else "study.json")).read_text())
    estimated_s = record["cost"]["seconds"]
    commits = commits_s(Workload(1, 1, state_bytes=size), estimated_s) if command == "purify" else 0
    return WholeRun(
        command, encoder, start_s, estimated_s, commits, found["wall s"], found["CPU s"]
    )
