"""The distillation as a Ray Train run: the loop is `runs.training.train`, as without Ray."""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from mimic_ray.base.errors import MimicError, StoppedError, TrainingError
from mimic_ray.base.progress import ProgressCallback
from mimic_ray.base.resources import (
    Amounts,
    Resources,
    check_capacity,
    this_machine,
    worker_slots,
)
from mimic_ray.base.storage_address import below, filesystem_of, parse
from mimic_ray.distributed.capacity import cluster_nodes
from mimic_ray.distributed.head_health import Head
from mimic_ray.distributed.ray_errors import as_ours, in_a_worker, was_lost
from mimic_ray.distributed.ray_private import START_TIMEOUT_VARIABLE
from mimic_ray.distributed.ray_session import ray_session
from mimic_ray.distributed.watchdog import END_AFTER_S, Silence
from mimic_ray.execution.worker import Job, Outcome

_POLL_S = 0.1
# After this long without an answer to "stop", the workers are ended; commits are whole anyway.
_GRACE_S = 60.0


def train_on_ray(
    job: Job,
    teacher_state: Mapping[str, Tensor],
    *,
    resources: Resources,
    log: Path,
    on_progress: ProgressCallback,
    stop: Callable[[], int],
) -> Outcome:
    """Runs the job on the workers and returns rank 0's outcome.

    `stop()` counts the user's wishes to stop: at 1 the workers commit and return, at 2 they are
    ended where they are. Raises ResourceError before anything starts when the cluster is too
    small, StoppedError where the wish came before a worker had begun, and a worker's own
    MimicError as it is.

    Ray Train replaces dead workers; what it gives up (its controller was killed, a worker died
    while it started) is tried again here, `resources.restarts` times, from the last committed step.
    """
    cpus = None
    if resources.address is None:
        resources = resources.with_cpus([this_machine()])
        each = resources.cpus_per_worker
        cpus = min(resources.workers * each, max(os.cpu_count() or 1, each))
    variables = {}
    if resources.capacity_timeout_s:
        # A new node takes minutes to start.
        variables[START_TIMEOUT_VARIABLE] = str(resources.capacity_timeout_s)
    end_after_s = max(END_AFTER_S, resources.capacity_timeout_s + _GRACE_S)
    silence = Silence(on_progress, end_after_s=end_after_s)
    for left in reversed(range(resources.restarts + 1)):
        _check_not_stopped(stop)
        try:
            # A connection of its own: with the old one Ray ends what the lost attempt left, which
            # would hold its CPUs or GPUs for ever.
            with ray_session(resources.address, log, cpus, variables):
                return _attempt(job, teacher_state, resources, log, on_progress, stop, silence)
        except _AttemptLost as lost:
            if not left:
                raise as_ours(lost.error, log) from lost.error
    raise AssertionError("a range of at least one was empty")


class _AttemptLost(Exception):
    """Ray lost the attempt, by no fault of the training."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


def _attempt(
    job: Job,
    teacher_state: Mapping[str, Tensor],
    resources: Resources,
    log: Path,
    on_progress: ProgressCallback,
    stop: Callable[[], int],
    silence: Silence,
) -> Outcome:
    import ray

    from mimic_ray.distributed.run_control import new_mailbox

    nodes = cluster_nodes()
    resources = resources.with_cpus(nodes)
    check_capacity(nodes, resources)
    _check_not_stopped(stop)
    mailbox = new_mailbox()
    config = {
        "job": replace(
            job,
            threads=job.threads or resources.cpus_per_worker,
            strategy=resources.strategy,
            teacher_placement=resources.teacher_placement,
        ),
        "teacher_state": ray.put(dict(teacher_state)),
        "mailbox": mailbox,
    }
    trainer = make_trainer(_worker, config, below(job.run, ".ray"), resources, nodes)
    checks = [silence.check]
    if resources.address is not None:
        checks.append(Head(ray.get_runtime_context().gcs_address).check)
    return _fit(trainer, mailbox, log, on_progress, stop, silence.heard, checks)


def make_trainer(
    work: Callable[[dict[str, Any]], Any],
    config: dict[str, Any],
    storage: str | Path,
    resources: Resources,
    nodes: Sequence[Amounts],
) -> Any:
    """A TorchTrainer of `work(config)` on the workers; `nodes` are those that the cluster has.

    `storage`, a path or an address, is for Ray's own notes, of which we read none. All nodes must
    see it.
    """
    from ray.train import FailureConfig, LoggingConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from mimic_ray.distributed.torch_config import ClusterTorchConfig

    notes = parse(storage)
    most, required = resources.workers, resources.required_workers
    if resources.address is None and required < most:
        # No node will ever join a private Ray: do not wait for what cannot come.
        most = min(most, worker_slots(nodes, resources.each()))
    elastic = required < most
    return TorchTrainer(
        work,
        train_loop_config=config,
        torch_config=ClusterTorchConfig(),
        scaling_config=ScalingConfig(
            num_workers=(required, most) if elastic else most,
            use_gpu=bool(resources.gpus_per_worker),
            resources_per_worker=resources.each(),
        ),
        run_config=RunConfig(
            # A name that was used before would resume Ray's idea of that run; ours is on disk.
            name=f"run-{time.time_ns()}",
            storage_path=notes.path,
            storage_filesystem=filesystem_of(notes) if notes.remote else None,
            # Failed starts are limited too: by default, a cluster that cannot place the workers is
            # tried for ever. Ray counts a preempted node apart, and without limit.
            failure_config=FailureConfig(
                max_failures=resources.restarts, controller_failure_limit=resources.restarts
            ),
            logging_config=LoggingConfig(log_level="ERROR"),
        ),
    )


def _worker(config: dict[str, Any]) -> dict[str, Any]:
    """Runs inside each Ray Train worker, anew each time that the workers change."""
    import ray
    from ray import train as ray_train

    from mimic_ray.distributed.run_control import WorkerEnd
    from mimic_ray.execution.worker import train
    from mimic_ray.method.process_group import ProcessGroup

    context = ray_train.get_context()
    group = ProcessGroup(
        context.get_world_rank(), context.get_world_size(), int(os.environ.get("LOCAL_RANK", "0"))
    )
    job = replace(config["job"], device=str(ray_train.torch.get_device()))
    end = WorkerEnd(config["mailbox"])
    if group.rank == 0:
        end.begin()
    try:
        outcome = train(
            job,
            ray.get(config["teacher_state"]),
            group=group,
            on_progress=end.post,
            stop=end.stop if group.rank == 0 else lambda: False,
            before_commit=end.before_commit,
        )
    except MimicError as error:
        # The same would come of the same again, so the driver must not wait for restarts.
        end.give_up(error)
        raise
    except Exception as error:
        # The traceback goes to Ray's log.
        traceback.print_exc()
        raise in_a_worker(group.rank, error) from None
    return asdict(outcome)


def _fit(
    trainer: Any,
    mailbox: Any,
    log: Path,
    on_progress: ProgressCallback,
    stop: Callable[[], int],
    heard: ProgressCallback,
    checks: Sequence[Callable[[], None]],
) -> Outcome:
    """`trainer.fit()` in a thread, so that signals stay ours (Ray replaces SIGINT for good).

    `checks` are asked again and again, and raise when it is no use to wait any longer.
    """
    import ray

    ended: dict[str, Any] = {}

    def fit() -> None:
        try:
            ended["result"] = trainer.fit().return_value
        except BaseException as error:  # SystemExit too: shutdown ends the thread with it
            ended["error"] = error

    thread = threading.Thread(target=fit, name="ray-train", daemon=True)
    thread.start()
    asked_at: float | None = None
    while thread.is_alive():
        thread.join(_POLL_S)
        for news in ray.get(mailbox.take.remote()):
            heard(news)
            on_progress(news)
        for check in checks:
            check()
        if failure := ray.get(mailbox.failure.remote()):
            raise failure
        if stop() and asked_at is None:
            asked_at = time.monotonic()
            if not ray.get(mailbox.ask_to_stop.remote()):
                _check_not_stopped(stop)
        if asked_at is not None and (stop() > 1 or time.monotonic() - asked_at > _GRACE_S):
            raise TrainingError("The workers were ended before they could commit once more.")
    if error := ended.get("error"):
        if was_lost(error):
            raise _AttemptLost(error)
        raise as_ours(error, log) from error
    return Outcome(**ended["result"])


def _check_not_stopped(stop: Callable[[], int]) -> None:
    if stop():
        raise StoppedError("Stopped before a worker had begun. Start again with --resume.")
