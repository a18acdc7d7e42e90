"""One trial in its own process, as Ray Tune starts it."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from mimic_ray.base.progress import Progress
from mimic_ray.base.resources import Resources
from mimic_ray.base.storage_address import below
from mimic_ray.distributed.ray_errors import picklable_errors, to_mimic_error
from mimic_ray.distributed.ray_private import SESSION_VARIABLES
from mimic_ray.distributed.run_control import RunControl, WorkerControl
from mimic_ray.distributed.torch_trainer import (
    on_one_machine,
    torch_trainer,
    worker_device,
    worker_group,
)
from mimic_ray.distributed.watched_fit import FitFailedError, watched_fit
from mimic_ray.execution.trial_run import TrialTask, run_trial
from mimic_ray.search.objectives.objective_registry import OBJECTIVES
from mimic_ray.search.trial import Trial, total
from mimic_ray.store.run_store import open_run
from mimic_ray.store.study_store import open_study

# Shorter than the driver's wait for the end of a trial (TUNE_FUNCTION_THREAD_TIMEOUT_S).
_GRACE_S = 50.0
EARLY_STOPPING_METRIC = "total"
# Restarts of a trial's workers; Tune restarts a trial whose own process died.
_RESTARTS = 2


@dataclass(frozen=True)
class TrialMessage:
    """A message from a trial to the driver: progress, or scores at a rung or at the end."""

    trial_id: str
    content: Progress | Trial


@dataclass(frozen=True)
class TrialContext:
    """The common input of all trials. `inputs` is a reference to the TrialInputs in Ray's object
    store, `log` is the path of Ray's log for messages."""

    study: str
    inputs: Any
    resources: Resources
    control: WorkerControl[TrialMessage]
    log: str


def run_in_trial(config: dict[str, Any], context: TrialContext) -> None:
    """Tune's trainable. Reports at rungs and at the end, where Tune may stop the trial."""
    import ray

    task = _read_task(context.study, config["trial"])
    if context.resources.workers > 1:
        _run_with_workers(task, context)
        return
    inputs = ray.get(context.inputs)
    with picklable_errors(0, lambda: True):
        run_trial(task, inputs, control=TuneControl(task, context.control))


@dataclass(frozen=True)
class TuneControl:
    """The control of a trial in one process, which reports to the driver and to Tune."""

    task: TrialTask
    driver: WorkerControl[TrialMessage]

    def post(self, progress: Progress) -> None:
        self.driver.post(TrialMessage(self.task.id, progress))

    def should_stop(self) -> bool:
        return self.driver.should_stop()

    def draining(self) -> int:
        return self.driver.draining()

    def check_current(self) -> None:
        """Tune runs one process of a trial at a time."""

    def report(self, trial: Trial) -> None:
        self.driver.post(TrialMessage(self.task.id, trial))
        _report_to_tune(trial, self.task)


def _report_to_tune(trial: Trial, task: TrialTask) -> None:
    """Tune may end this process during this call."""
    from ray import tune

    steps = task.recipe["training"]["steps"]
    ended = trial.status != "running"
    tune.report(
        {
            "percent": 100 if ended else round(100 * trial.step / steps),
            "step": trial.step,
            **{name: trial.score(name) for name in OBJECTIVES},
            EARLY_STOPPING_METRIC: total(trial.scores) if trial.scored else -1e9,
        }
    )


@dataclass(frozen=True)
class TrialWorkerTask:
    """The input of each worker of a trial. `watcher` reaches the process that watches the workers;
    it also gets progress, because stop requests come with its replies."""

    task: TrialTask
    context: TrialContext
    watcher: WorkerControl[Progress | Trial]


def _run_with_workers(task: TrialTask, context: TrialContext) -> None:
    """Runs the trial as a Ray Train run; this process only forwards reports."""
    # This process does not inherit the driver's environment.
    for name, value in SESSION_VARIABLES.items():
        os.environ.setdefault(name, value)
    control: RunControl[Progress | Trial] = RunControl()
    with closing(open_study(task.study, f"task-{task.id}")) as study:
        run = study.run(task.id)
    trainer = torch_trainer(
        _worker,
        TrialWorkerTask(task, context, control.for_worker()),
        str(below(run, ".ray")),
        replace(context.resources, max_failures=_RESTARTS),
        nodes=[],
        start_retries=0,
    )
    try:
        watched_fit(trainer.fit, _TrialWatcher(task, control), _GRACE_S)
    except FitFailedError as failed:
        raise to_mimic_error(failed.error, context.log) from failed.error
    finally:
        open_run(run, "watcher").close()  # removes Ray Train's own files


@dataclass(frozen=True)
class _TrialWatcher:
    """Forwards the workers' reports to Tune, which ends the trial with a SystemExit."""

    task: TrialTask
    control: RunControl[Progress | Trial]

    def poll(self) -> None:
        for message in self.control.messages():
            if isinstance(message, Trial):
                _report_to_tune(message, self.task)

    def stop_requests(self) -> int:
        return 0  # workers receive the driver's stop requests themselves

    def request_stop(self) -> None:
        self.control.request_stop()


def _worker(work: TrialWorkerTask) -> None:
    """A worker of a trial with several workers."""
    import ray

    group = worker_group()
    task = replace(work.task, device=worker_device())
    inputs = ray.get(work.context.inputs)
    control = TrialWorkerControl(task, work.context.control, work.watcher)
    with picklable_errors(group.rank, on_one_machine):
        run_trial(task, inputs, group, control)


@dataclass(frozen=True)
class TrialWorkerControl:
    """The control of a worker, which reports to the driver and to the watching process."""

    task: TrialTask
    driver: WorkerControl[TrialMessage]
    watcher: WorkerControl[Progress | Trial]

    def post(self, progress: Progress) -> None:
        self.driver.post(TrialMessage(self.task.id, progress))
        self.watcher.post(progress)

    def should_stop(self) -> bool:
        return self.driver.should_stop() or self.watcher.should_stop()

    def draining(self) -> int:
        return self.driver.draining()

    def check_current(self) -> None:
        """Ray Train runs one group of workers of a trial at a time."""

    def report(self, trial: Trial) -> None:
        self.driver.post(TrialMessage(self.task.id, trial))
        self.watcher.post(trial)


def _read_task(study: str, trial_id: str) -> TrialTask:
    with closing(open_study(study, f"task-{trial_id}")) as opened:
        content = opened.read_task(trial_id)
    return TrialTask(**{**content, "rungs": tuple(content["rungs"])})
