"""The distillation as a Ray Train run of `execution.worker.train`.

torch_trainer.py builds the trainer and starts the workers; watched_fit.py waits for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from mimic_ray.base.errors import MimicError, StoppedError, TrainingError, option
from mimic_ray.base.machine_limits import usable_cpus
from mimic_ray.base.progress import Progress, ProgressCallback
from mimic_ray.base.resources import Resources, check_capacity, this_machine
from mimic_ray.base.storage_address import below
from mimic_ray.distributed.capacity import cluster_nodes
from mimic_ray.distributed.drain_notice import DrainNotice
from mimic_ray.distributed.head_health import HeadHealth, cluster_head
from mimic_ray.distributed.ray_errors import is_retryable, picklable_errors, to_mimic_error
from mimic_ray.distributed.ray_private import START_TIMEOUT_VARIABLE
from mimic_ray.distributed.ray_session import ray_session
from mimic_ray.distributed.run_control import RunControl, WorkerControl
from mimic_ray.distributed.torch_trainer import (
    on_one_machine,
    torch_trainer,
    worker_device,
    worker_group,
)
from mimic_ray.distributed.watchdog import END_AFTER_S, Watchdog
from mimic_ray.distributed.watched_fit import (
    GRACE_S,
    FitFailedError,
    StopTimeoutError,
    watched_fit,
)
from mimic_ray.execution.distill_job import DistillJob, Outcome
from mimic_ray.execution.worker import train

_CONTINUE = f"Continue with the same command and {option('resume', True)}."


@dataclass(frozen=True)
class RunTask:
    """The input of each worker. `teacher_state` is a reference into Ray's object store."""

    job: DistillJob
    teacher_state: Any
    control: WorkerControl[Progress]


def train_on_ray(
    job: DistillJob,
    teacher_state: Mapping[str, Tensor],
    *,
    resources: Resources,
    log: Path,
    on_progress: ProgressCallback,
    should_stop: Callable[[], int],
) -> Outcome:
    """Runs the job on the workers and returns rank 0's outcome.

    `should_stop()` is the number of stop requests: at 1 the workers write a checkpoint and return,
    at 2 they are killed. Raises ResourceError before anything starts if the cluster is too small,
    StoppedError if the request came before a worker had started, and the MimicError of a worker.

    Ray Train restarts dead workers. After failures that it does not handle (its controller was
    killed, a worker died during start-up), this function continues from the last checkpoint, up to
    `resources.restarts` times.
    """
    cpus, variables = None, {}
    if resources.address is None:
        resources = resources.with_cpus([this_machine()])
        each = resources.cpus_per_worker
        cpus = min(resources.workers * each, max(usable_cpus(), each))
    if resources.capacity_timeout_s:
        # New nodes take minutes to start.
        variables[START_TIMEOUT_VARIABLE] = str(resources.capacity_timeout_s)
    end_after_s = max(END_AFTER_S, resources.capacity_timeout_s + GRACE_S)
    on_cluster = resources.address is not None
    watchdog = Watchdog(on_progress, on_cluster=on_cluster, end_after_s=end_after_s)
    for attempts_left in reversed(range(resources.restarts + 1)):
        _check_not_stopped(should_stop)
        try:
            # Disconnecting removes the remains of the lost attempt, which would otherwise keep
            # their CPUs and GPUs.
            with ray_session(resources.address, log, cpus, variables):
                return _attempt(job, teacher_state, resources, on_progress, should_stop, watchdog)
        except FitFailedError as failed:
            if not attempts_left or not is_retryable(failed.error):
                raise to_mimic_error(failed.error, log) from failed.error
        except StopTimeoutError:
            raise TrainingError(
                f"The workers did not stop in time and were killed. {_CONTINUE}"
            ) from None
    raise AssertionError("a range of at least one was empty")


def _attempt(
    job: DistillJob,
    teacher_state: Mapping[str, Tensor],
    resources: Resources,
    on_progress: ProgressCallback,
    should_stop: Callable[[], int],
    watchdog: Watchdog,
) -> Outcome:
    import ray

    nodes = cluster_nodes()
    resources = resources.with_cpus(nodes)
    check_capacity(nodes, resources)
    _check_not_stopped(should_stop)
    control = RunControl[Progress]()
    job = replace(
        job,
        threads=job.threads or resources.cpus_per_worker,
        strategy=resources.strategy,
        teacher_placement=resources.teacher_placement,
    )
    trainer = torch_trainer(
        _worker,
        RunTask(job, ray.put(dict(teacher_state)), control.for_worker()),
        str(below(job.run, ".ray")),
        resources,
        nodes,
        start_retries=resources.restarts,
    )
    head = cluster_head(resources.address)
    notice = DrainNotice() if head else None
    watcher = _RunWatcher(control, watchdog, head, notice, on_progress, should_stop)
    outcome: Outcome = watched_fit(lambda: trainer.fit().return_value, watcher)
    return outcome


@dataclass(frozen=True)
class _RunWatcher:
    """Passes on the progress of a run and notices about its nodes, and ends it if its workers or
    the head are lost."""

    control: RunControl[Progress]
    watchdog: Watchdog
    head: HeadHealth | None
    notice: DrainNotice | None
    on_progress: ProgressCallback
    should_stop: Callable[[], int]

    def poll(self) -> None:
        for progress in self.control.messages():
            self.watchdog.note(progress)
            self.on_progress(progress)
        self.watchdog.check()
        if self.notice:
            self.control.nodes_draining(self.notice.count())
        if self.head:
            self.head.check()
        self.control.raise_failure()

    def stop_requests(self) -> int:
        return self.should_stop()

    def request_stop(self) -> None:
        if not self.control.request_stop():
            _check_not_stopped(self.should_stop)


def _worker(task: RunTask) -> Outcome:
    """Runs in each Ray Train worker, and again whenever the workers change."""
    import ray

    group, control = worker_group(), task.control
    if group.rank == 0:
        control.begin()
    with picklable_errors(group.rank, on_one_machine):
        try:
            job = replace(task.job, device=worker_device())
            return train(job, ray.get(task.teacher_state), group, control)
        except MimicError as error:
            # The error would occur again, so the driver must not wait for restarts.
            control.give_up(error)
            raise


def _check_not_stopped(should_stop: Callable[[], int]) -> None:
    if should_stop():
        raise StoppedError(f"Stopped before a worker had started. {_CONTINUE}")
