"""Prepares what the trials of a search share, once and where a trial would run.

The head of a cluster, where the driver runs, often has no GPU and few cores: the teacher's outputs
would take hours there. So on a named cluster the work is a Ray task with the resources of a trial.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from mimic_ray.base.errors import MimicError, StoppedError
from mimic_ray.base.progress import Progress, ProgressCallback
from mimic_ray.base.resources import Resources
from mimic_ray.distributed.ray_errors import as_ours
from mimic_ray.distributed.run_control import RunControl, WorkerControl
from mimic_ray.execution.shared_inputs import TrialInputs

_POLL_S = 0.2

Facts = TypeVar("Facts")
# Makes what trials share, and the facts about it that the driver needs. Must be picklable.
Prepare = Callable[[ProgressCallback], tuple[Facts, TrialInputs]]


def prepare_inputs(
    prepare: Prepare[Facts],
    resources: Resources,
    log: Path | str,
    on_progress: ProgressCallback,
    should_stop: Callable[[], int],
) -> tuple[Facts, Any]:
    """The facts, and a reference to the inputs. Raises what `prepare` raises, and StoppedError.

    The driver's node gets a copy of the inputs. If the only copy were on a lost node, Ray would
    make them again in a task that waits for the resources of the very trial that waits for it.
    """
    import ray

    if resources.address is None:
        facts, inputs = prepare(on_progress)
        return facts, ray.put(inputs)
    control: RunControl[Progress] = RunControl()
    each = resources.each()
    task = ray.remote(_prepare).options(
        num_cpus=each.get("CPU", 0), num_gpus=each.get("GPU", 0), num_returns=2
    )
    found, inputs = task.remote(prepare, control.for_worker())
    while not ray.wait([found], timeout=_POLL_S)[0]:
        for progress in control.messages():
            on_progress(progress)
        if should_stop():
            ray.cancel(found, force=True)
            raise StoppedError("Stopped before a trial had started: start again.")
    try:
        return ray.get(found), ray.put(ray.get(inputs))
    except Exception as error:
        cause = getattr(error, "cause", None)  # of a RayTaskError
        raise cause if isinstance(cause, MimicError) else as_ours(error, log) from error


def _prepare(
    prepare: Prepare[Facts], control: WorkerControl[Progress]
) -> tuple[Facts, TrialInputs]:
    """Runs in a process of the cluster."""
    return prepare(control.post)
