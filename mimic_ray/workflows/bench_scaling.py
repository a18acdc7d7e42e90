"""Throughput of the training loop by number of workers, on synthetic images.

    strong scaling   the recipe's batch, divided among the workers
    weak scaling     a fixed batch per worker, so the total batch grows

Efficiency is images per second per worker, relative to the smallest number of workers. Workers that
share cores or memory bandwidth cannot reach 1.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mimic_ray.base.resources import Resources, check_resources
from mimic_ray.method.recipe import check_recipe
from mimic_ray.store.recipe_file import load_recipe

WARM_UP = 3


@dataclass(frozen=True)
class Point:
    """One measurement; `batch` is the total of all workers."""

    scaling: str  # "strong" or "weak"
    workers: int
    batch: int
    images_per_s: float
    efficiency: float


def bench_scaling(
    encoder: str,
    counts: Sequence[int],
    resources: Resources,
    *,
    recipe: str = "default",
    settings: Iterable[str] = (),
    steps: int = 20,
) -> list[Point]:
    """Strong, then weak scaling for each of `counts`; `resources` has all other settings.

    Raises UsageError or ResourceError before anything starts.
    """
    from mimic_ray.distributed.scaling_benchmark import ScalingCase, measure_scaling

    resolved = load_recipe(recipe, [*settings, f"training.steps={WARM_UP + steps}"])
    batch = resolved.training.batch
    sizes = [("strong", n, batch) for n in counts]
    sizes += [("weak", n, batch * n // counts[0]) for n in counts[1:]]
    # The same for each number of workers, so that they are comparable.
    resources = replace(resources, cpus_per_worker=resources.cpus_per_worker or 1)
    alone = replace(resources, strategy="ddp", teacher_placement="replicated")
    cases = []
    for _, count, size in sizes:
        training = resolved.training.model_copy(update={"batch": size})
        case = ScalingCase(
            encoder,
            resolved.model_copy(update={"training": training}),
            replace(resources if count > 1 else alone, workers=count),
            WARM_UP,
        )
        check_resources(case.resources)
        check_recipe(case.recipe, count)
        cases.append(case)

    found: list[Point] = []
    folder = Path(tempfile.mkdtemp(prefix="mimic-ray-scaling-"))
    rates = measure_scaling(cases, folder / "ray.log")
    for (scaling, count, size), rate in zip(sizes, rates, strict=True):
        # Both are relative to the smallest number of workers with the recipe's batch.
        base = found[0] if found else Point(scaling, count, size, rate, 1.0)
        efficiency = rate / base.images_per_s * base.workers / count
        found.append(Point(scaling, count, size, rate, efficiency))
    shutil.rmtree(folder)  # kept after an error, whose message names Ray's log in it
    return found
