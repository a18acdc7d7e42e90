"""What a commit costs: in the step (a copy in memory), and in the thread that writes it.

python -m benchmarks.commit_cost [--encoder vit_b16]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch

from mimic_ray.encoders.encoder_registry import build
from mimic_ray.execution.background_commit import host_copy
from mimic_ray.store.checkpoint import commit
from mimic_ray.store.run_folder import RunFolder

_ENCODERS = ("cifar_resnet20", "resnet50", "vit_b16")
_ROUNDS = 4


def state_of(encoder: str) -> tuple[dict[str, Any], int]:
    """A state as a run commits it: the weights and Adam's two moments; its bytes."""
    weights = build(encoder).net.state_dict()
    moments = {
        number: {"exp_avg": torch.rand_like(each), "exp_avg_sq": torch.rand_like(each)}
        for number, each in enumerate(weights.values())
        if each.is_floating_point()
    }
    size = sum(each.numel() * each.element_size() for each in weights.values())
    size += 2 * sum(part["exp_avg"].numel() * 4 for part in moments.values())
    return {"student": weights, "optimiser": {"state": moments}}, size


def measure(encoder: str, folder: Path) -> str:
    """A row: wall seconds of the copies, and wall and CPU seconds of the thread's work."""
    state, size = state_of(encoder)
    run = RunFolder(folder)
    copy, copies, writes, cpu = None, [], [], []
    for number in range(1, _ROUNDS + 1):
        start = time.monotonic()
        copy = host_copy(state, copy)
        copies.append(time.monotonic() - start)
        start, worked = time.monotonic(), time.process_time()
        commit(run, number, copy)
        writes.append(time.monotonic() - start)
        cpu.append(time.process_time() - worked)
    later = median(copies[1:])
    return (
        f"{encoder:<16}{size / 1e6:>10,.0f}{copies[0]:>12.3f}{later:>14.3f}"
        f"{median(writes):>10.2f}{median(cpu):>9.2f}{size / later / 1e9:>12.1f}"
        f"{size / median(writes) / 1e9:>13.2f}"
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--encoder", action="append", help="default: three of different size")
    asked = arguments.parse_args()
    torch.set_num_threads(1)
    print(
        f"{'encoder':<16}{'MB':>10}{'first copy':>12}{'later copies':>14}{'written':>10}"
        f"{'CPU s':>9}{'copy GB/s':>12}{'write GB/s':>13}"
    )
    for encoder in asked.encoder or _ENCODERS:
        with tempfile.TemporaryDirectory() as folder:
            print(measure(encoder, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
