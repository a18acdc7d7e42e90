"""The runs of a comparison as Ray tasks: as many at a time as the cluster fits.

Every run that can start is submitted, and Ray queues what does not fit. The runs of a defence wait
for each other only where the stop rule needs the result (defences/stop_rule.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mimic_ray.base import devices
from mimic_ray.base.progress import Progress, ProgressCallback
from mimic_ray.base.resources import Resources, this_machine, trial_slots
from mimic_ray.defences.stop_rule import DefenceRun
from mimic_ray.distributed.capacity import cluster_nodes, wait_for_capacity
from mimic_ray.distributed.head_health import cluster_head
from mimic_ray.distributed.ray_errors import to_mimic_error
from mimic_ray.distributed.ray_private import reason_of_death
from mimic_ray.distributed.ray_session import ray_session
from mimic_ray.execution.defence_run import BlindInputs, DefenceResult, run_unit

_POLL_S = 0.5
# How often Ray starts a run again whose process or node died.
_RESTARTS = 2

Weights = dict[str, NDArray[Any]]
# Takes a run that ended and its encoder's weights, {} if there is none.
OnEnd = Callable[[DefenceResult, dict[str, Tensor]], None]


@dataclass(frozen=True)
class Placement:
    """Where the tasks run: `device` and `threads` as the user gave them, for each task."""

    resources: Resources
    device: str
    threads: int
    log: Path


def run_as_tasks(
    inputs: BlindInputs,
    wanted: Callable[[], Sequence[DefenceRun]],
    on_end: OnEnd,
    placement: Placement,
    most: int,
    on_progress: ProgressCallback,
    should_stop: Callable[[], int],
) -> None:
    """Does all that is `wanted`, also what becomes wanted by a result; ends early on a stop.

    A run whose process died repeatedly ends with this failure. `wanted` is asked again after each
    `on_end`. Raises ResourceError if the cluster does not fit one run, TrainingError if the
    cluster's head is lost.
    """
    import ray

    cpus = None if placement.resources.address else int(this_machine()["CPU"])
    with ray_session(placement.resources.address, placement.log, cpus):
        wait_for_capacity(placement.resources.for_trials([]), on_progress, should_stop)
        nodes = cluster_nodes()
        resources = placement.resources.for_trials(nodes)
        trial_slots(nodes, resources)
        each = resources.each()
        task = ray.remote(_run).options(
            num_cpus=each.get("CPU", 0), num_gpus=each.get("GPU", 0), max_retries=_RESTARTS
        )
        shared = ray.put(inputs)
        head = cluster_head(placement.resources.address)
        running: dict[Any, DefenceRun] = {}
        ended = 0
        while not should_stop():
            if head:
                head.check()
            for unit in wanted():
                if unit not in running.values():
                    reference = task.remote(shared, unit, placement.device, placement.threads)
                    running[reference] = unit
            if not running:
                return
            on_progress(Progress("runs of defences", ended, most))
            for reference in ray.wait([*running], timeout=_POLL_S)[0]:
                result, weights = _ended(reference, running.pop(reference), placement.log)
                ended += 1
                on_end(result, {k: torch.from_numpy(np.array(v)) for k, v in weights.items()})
        for reference in running:
            with suppress(Exception):
                ray.cancel(reference, force=True)


def _ended(reference: Any, unit: DefenceRun, log: Path) -> tuple[DefenceResult, Weights]:
    """The result of a task. Raises what would end the other runs as well."""
    import ray

    try:
        ended: tuple[DefenceResult, Weights] = ray.get(reference)
    except Exception as error:
        cause = getattr(error, "cause", error)
        if not (why := reason_of_death(cause)):
            raise to_mimic_error(cause, log) from error
        sentence = (
            f"its process died {_RESTARTS + 1} times: {why}. Ray's log is {log}. A resumed "
            "comparison runs it again."
        )
        return DefenceResult(
            unit.defence, unit.strength, unit.seed, failure=sentence, died=True
        ), {}
    return ended


def _run(
    inputs: BlindInputs, unit: DefenceRun, device: str, threads: int
) -> tuple[DefenceResult, Weights]:
    """Runs in a process of the cluster, whose devices may differ from the driver's."""
    compute = devices.choose(device, inputs.compute.precision, threads)
    result, encoder = run_unit(replace(inputs, compute=compute), unit)
    state = encoder.net.state_dict() if encoder else {}
    return result, {name: value.cpu().numpy() for name, value in state.items()}
