"""How images a second grow with workers: the training loop on made-up images, on Ray Train.

    strong scaling   the recipe's batch, shared out among more and more workers
    weak scaling     the same share for every worker, so a batch that grows with them

Efficiency is images a second over what the smallest number of workers would give if each of theirs
counted as much. Workers that share cores or a memory bus with others cannot reach 1.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mimic_ray.base.errors import UsageError
from mimic_ray.base.text import plain
from mimic_ray.execution.resources import Workers, check
from mimic_ray.store.recipe_file import load_recipe

WARM_UP = 3


@dataclass(frozen=True)
class Point:
    """One measurement; `batch` is over all workers."""

    scaling: str  # "strong" or "weak"
    workers: int
    batch: int
    images_per_s: float
    efficiency: float


def parse_counts(text: str) -> list[int]:
    """`1,2,4` as numbers of workers. Raises UsageError for anything else."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise UsageError(f'--workers "{plain(text)}" is no list of numbers such as 1,2,4.')
    return sorted({int(part) for part in parts})


def bench_scaling(
    encoder: str,
    counts: Sequence[int],
    where: Workers,
    *,
    recipe: str = "default",
    settings: Iterable[str] = (),
    steps: int = 20,
) -> list[Point]:
    """Strong scaling on each of `counts`, then weak; `where` says all but the number of workers.

    Raises UsageError or ResourceError before anything starts.
    """
    from mimic_ray.distributed.scaling_benchmark import measure_scaling

    resolved = load_recipe(recipe, [*settings, f"training.steps={WARM_UP + steps}"])
    batch = resolved.training.batch
    sizes = [("strong", n, batch) for n in counts]
    sizes += [("weak", n, batch * n // counts[0]) for n in counts[1:]]
    cases: list[tuple[Workers, dict[str, Any]]] = []
    for _, count, size in sizes:
        workers = replace(where, count=count, strategy=where.strategy if count > 1 else "ddp")
        workers = replace(workers, teacher=where.teacher if count > 1 else "replicated")
        training = resolved.training.model_copy(update={"batch": size})
        case = resolved.model_copy(update={"training": training})
        check(workers, case)
        cases.append((workers, case.model_dump(mode="json")))

    found: list[Point] = []
    folder = Path(tempfile.mkdtemp(prefix="mimic-ray-scaling-"))
    rates = measure_scaling(encoder, cases, warm_up=WARM_UP, log=folder / "ray.log")
    for (scaling, count, size), rate in zip(sizes, rates, strict=True):
        # The smallest number of workers with the recipe's batch is the base of both.
        base = found[0] if found else Point(scaling, count, size, rate, 1.0)
        efficiency = rate / base.images_per_s * base.workers / count
        found.append(Point(scaling, count, size, rate, efficiency))
    shutil.rmtree(folder)  # kept, with Ray's log, where an error names it
    return found
