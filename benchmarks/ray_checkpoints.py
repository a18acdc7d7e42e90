"""What a checkpoint costs with Ray Train's own `report`, and with a commit of ours.

python -m benchmarks.ray_checkpoints [--encoder vit_b16] [--workers 1 --workers 2]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.commit_cost import state_of
from mimic_ray.base.resources import Resources
from mimic_ray.distributed.ray_session import ray_session
from mimic_ray.distributed.torch_trainer import torch_trainer
from mimic_ray.execution.background_commit import BackgroundCommit
from mimic_ray.store.checkpoint import commit
from mimic_ray.store.run_folder import RunFolder

KINDS = ("commit", "report ASYNC", "report SYNC")


@dataclass(frozen=True)
class Work:
    encoder: str
    rounds: int
    folder: str


def measure(work: Work) -> None:
    """Runs in each worker. Rank 0 writes, for each kind, the seconds of each checkpoint in the
    step and until it is stored."""
    from ray import train

    torch.set_num_threads(1)
    state, _ = state_of(work.encoder)
    rank = train.get_context().get_world_rank()
    ours = BackgroundCommit(lambda step, copy: commit(RunFolder(Path(work.folder)), step, copy))
    seconds: dict[str, list[tuple[float, float]]] = {}
    for kind in KINDS:
        save, wait = _ours(ours, state, rank) if kind == "commit" else _ray(kind, state, rank)
        seconds[kind] = []
        for step in range(1, work.rounds + 1):
            begun = time.monotonic()
            save(step)
            saved = time.monotonic()
            wait()
            seconds[kind].append((saved - begun, time.monotonic() - begun))
    if rank == 0:
        Path(work.folder, "seconds.json").write_text(json.dumps(seconds))


def _ours(
    ours: BackgroundCommit, state: Any, rank: int
) -> tuple[Callable[[int], None], Callable[[], None]]:
    """Rank 0 alone saves; the others do not wait for it."""
    if rank:
        return lambda step: None, lambda: None
    return lambda step: ours.start(step, state), ours.wait


def _ray(kind: str, state: Any, rank: int) -> tuple[Callable[[int], None], Callable[[], None]]:
    """Rank 0 saves, and all report."""
    from ray import train
    from ray.train import CheckpointConsistencyMode, CheckpointUploadMode

    mode = CheckpointUploadMode[kind.split()[1]]

    def save(step: int) -> None:
        if rank:
            train.report({"step": step}, checkpoint_upload_mode=mode)
            return
        folder = tempfile.mkdtemp()
        torch.save(state, Path(folder, "state.pt"))
        train.report(
            {"step": step},
            train.Checkpoint.from_directory(folder),
            checkpoint_upload_mode=mode,
            delete_local_checkpoint_after_upload=True,
        )

    def wait() -> None:
        train.get_all_reported_checkpoints(consistency_mode=CheckpointConsistencyMode.COMMITTED)

    return save, wait


def rows(encoder: str, workers: int, rounds: int) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        work = Work(encoder, rounds, folder)
        resources = Resources(workers=workers, cpus_per_worker=1)
        with ray_session(None, Path(folder, "ray.log"), workers):
            from mimic_ray.distributed.capacity import cluster_nodes

            torch_trainer(measure, work, folder, resources, cluster_nodes(), start_retries=0).fit()
        seconds = json.loads(Path(folder, "seconds.json").read_text())
    found = []
    for kind in KINDS:
        first = seconds[kind][0][0]
        later, stored = map(median, zip(*seconds[kind][1:], strict=True))
        found.append(
            f"{encoder:<14}{workers:>8}  {kind:<14}{first:>9.2f}{later:>10.2f}{stored:>11.2f}"
        )
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--encoder", default="vit_b16")
    arguments.add_argument("--workers", action="append", type=int, help="default: 1 and 2")
    arguments.add_argument("--rounds", type=int, default=5)
    asked = arguments.parse_args()
    print(f"{'encoder':<14}{'workers':>8}  {'':<14}{'1st, s':>9}{'later, s':>10}{'stored, s':>11}")
    for workers in asked.workers or (1, 2):
        for row in rows(asked.encoder, workers, asked.rounds):
            print(row, flush=True)


if __name__ == "__main__":
    main()
