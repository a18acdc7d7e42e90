"""The host memory of a worker that trains on the CPU."""

from __future__ import annotations

from math import ceil

from mimic_ray.method.recipe import Recipe
from mimic_ray.planning.memory import memory
from mimic_ray.planning.trace import trace

# Measured on Linux with torch 2.10 and Ray 2.60: a process with torch.
PROCESS_BYTES = 500_000_000


def worker_memory_bytes(encoder: str, recipe: Recipe, workers: int) -> int:
    """The peak of one of `workers`: its step, the copy of its state that is being committed, and
    the process itself. Images and outputs of the teacher are not in it.

    Counted in float32, unless the recipe says bf16. 0 for an encoder of the user's own whose code
    cannot be counted.
    """
    training = recipe.training
    part = ceil(training.batch / workers / training.accumulate)
    try:
        traced = trace(encoder, recipe, part, training.precision)
    except Exception:  # whatever that code raises without real values
        return 0
    step = memory(traced, "ddp", workers)
    return PROCESS_BYTES + step.total + step.parameters + step.optimiser
