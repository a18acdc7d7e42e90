"""What a commit costs: in the step (a copy in memory), and in the thread that writes it.

python -m benchmarks.commit_cost [--encoder vit_b16]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
    """A row: seconds of the copies in the step and of the writing, on the clock and of CPU."""
    state, size = state_of(encoder)
    run = RunFolder(folder)
    copy = None
    copies, writes = list[tuple[float, float]](), list[tuple[float, float]]()
    for number in range(1, _ROUNDS + 1):
        with _timed(copies):
            copy = host_copy(state, copy)
        with _timed(writes):
            commit(run, number, copy)
    first, (later, later_cpu) = copies[0], map(median, zip(*copies[1:], strict=True))
    written, written_cpu = map(median, zip(*writes, strict=True))
    return (
        f"{encoder:<16}{size / 1e6:>8,.0f}{first[0]:>9.3f}{first[1]:>8.3f}{later:>10.3f}"
        f"{later_cpu:>8.3f}{written:>10.2f}{written_cpu:>8.2f}"
    )


@contextmanager
def _timed(found: list[tuple[float, float]]) -> Iterator[None]:
    start, worked = time.monotonic(), time.process_time()
    yield
    found.append((time.monotonic() - start, time.process_time() - worked))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--encoder", action="append", help="default: three of different size")
    asked = arguments.parse_args()
    torch.set_num_threads(1)
    print(
        f"{'encoder':<16}{'MB':>8}{'1st copy':>9}{'CPU':>8}{'later':>10}{'CPU':>8}{'written':>10}"
        f"{'CPU':>8}"
    )
    for encoder in asked.encoder or _ENCODERS:
        with tempfile.TemporaryDirectory() as folder:
            print(measure(encoder, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
