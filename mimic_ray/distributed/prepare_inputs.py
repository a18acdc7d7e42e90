"""What the trials of a search share is made once, where a trial would run.

The head of a cluster that runs the driver often has no GPU and few cores: there the teacher would
answer for hours. So on a named cluster the work is a Ray task with the resources of a trial.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from mimic_ray.base.errors import MimicError, StoppedError
from mimic_ray.base.progress import ProgressCallback
from mimic_ray.base.resources import Resources
from mimic_ray.distributed.ray_errors import as_ours
from mimic_ray.execution.shared_inputs import TrialInputs

_POLL_S = 0.2

Facts = TypeVar("Facts")


# Makes what trials share, with the facts that the driver needs of it. It may travel.
Prepare = Callable[[ProgressCallback], tuple[Facts, TrialInputs]]


def prepared(
    prepare: Prepare[Facts],
    resources: Resources,
    log: Path | str,
    on_progress: ProgressCallback,
    stop: Callable[[], int],
) -> tuple[Facts, Any]:
    """The facts, and a reference to the inputs. Raises what `prepare` raises, StoppedError.

    The object store of the driver's node has the inputs as well: with a copy elsewhere alone, a
    lost node would have them made again, by a task that waits for the room of the very trial that
    waits for it.
    """
    import ray

    if resources.address is None:
        facts, inputs = prepare(on_progress)
        return facts, ray.put(inputs)
    from mimic_ray.distributed.run_control import new_mailbox

    mailbox = new_mailbox()
    each = resources.each()
    task = ray.remote(_there).options(
        num_cpus=each.get("CPU", 0), num_gpus=each.get("GPU", 0), num_returns=2
    )
    answer, inputs = task.remote(prepare, mailbox)
    while not ray.wait([answer], timeout=_POLL_S)[0]:
        for news in ray.get(mailbox.take.remote()):
            on_progress(news)
        if stop():
            ray.cancel(answer, force=True)
            raise StoppedError("Stopped before a trial had begun: start again.")
    try:
        return ray.get(answer), ray.put(ray.get(inputs))
    except Exception as error:
        # Ray's own error stands around ours.
        cause = getattr(error, "cause", None)
        raise cause if isinstance(cause, MimicError) else as_ours(error, log) from error


def _there(prepare: Prepare[Facts], mailbox: Any) -> tuple[Facts, TrialInputs]:
    """In a process of the cluster."""
    from mimic_ray.distributed.run_control import WorkerEnd

    return prepare(WorkerEnd(mailbox).post)
