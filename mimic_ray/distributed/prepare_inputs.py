"""Prepares the shared inputs of the trials of a search, once, on a node that fits a trial.

The driver runs on the head of a cluster, which often has no GPU and few cores, so the teacher's
outputs would take hours. On a cluster the work is therefore a Ray task with a trial's resources.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from mimic_ray.base.errors import MimicError, StoppedError
from mimic_ray.base.progress import Progress, ProgressCallback, stoppable
from mimic_ray.base.resources import Resources
from mimic_ray.distributed.head_health import AGAIN_ADVICE, cluster_head
from mimic_ray.distributed.ray_errors import to_mimic_error
from mimic_ray.distributed.run_control import RunControl, WorkerControl
from mimic_ray.execution.shared_inputs import TrialInputs

_POLL_S = 0.2
_STOPPED = "Stopped before a trial had started: start again."

Facts = TypeVar("Facts")
# Computes the facts that the driver needs, and the shared inputs. Must be picklable.
Prepare = Callable[[ProgressCallback], tuple[Facts, TrialInputs]]


def prepare_inputs(
    prepare: Prepare[Facts],
    resources: Resources,
    log: Path | str,
    on_progress: ProgressCallback,
    should_stop: Callable[[], int],
) -> tuple[Facts, Any]:
    """The facts, and a reference to the inputs.

    Raises the errors of `prepare`, StoppedError, and TrainingError if the cluster's head is lost.

    The driver's node gets a copy of the inputs. If the only copy were on a lost node, Ray would
    compute them again in a task that waits for the resources of the trial that waits for the task.
    """
    import ray

    # A new study is recorded after this, so there is nothing to resume.
    head = cluster_head(resources.address, AGAIN_ADVICE)
    if head is None:
        facts, inputs = prepare(stoppable(on_progress, should_stop, _STOPPED))
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
        head.check()
        if should_stop():
            ray.cancel(found, force=True)
            raise StoppedError(_STOPPED)
    try:
        return ray.get(found), ray.put(ray.get(inputs))
    except Exception as error:
        cause = getattr(error, "cause", None)  # of a RayTaskError
        raise cause if isinstance(cause, MimicError) else to_mimic_error(error, log) from error


def _prepare(
    prepare: Prepare[Facts], control: WorkerControl[Progress]
) -> tuple[Facts, TrialInputs]:
    """Runs in a process of the cluster."""
    return prepare(control.post)
