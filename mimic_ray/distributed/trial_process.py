"""One trial in its own process, as Ray Tune starts it."""

from __future__ import annotations

import os
import threading
import time
import traceback
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from mimic_ray.base.errors import MimicError, TrainingError
from mimic_ray.base.resources import Resources
from mimic_ray.base.storage_address import below, filesystem_of, parse
from mimic_ray.distributed.ray_private import SESSION_VARIABLES
from mimic_ray.execution.trial_run import TrialTask, run_trial
from mimic_ray.search.trial import Trial
from mimic_ray.store.run_store import place_of
from mimic_ray.store.study_store import study_place

_POLL_S = 0.2
# Less than the driver waits for a process to end its trial (TUNE_FUNCTION_THREAD_TIMEOUT_S).
_GRACE_S = 50.0


def run_in_trial(
    config: dict[str, Any],
    inputs: list[Any],
    study: str,
    resources: Resources,
    mailbox: Any,
) -> None:
    """Tune's trainable. Reports at rungs and at the end, where Tune may stop the trial.

    `inputs` holds one reference to the TrialInputs.
    """
    import ray

    from mimic_ray.distributed.run_control import WorkerEnd

    task = _read_task(study, config["trial"])
    if resources.workers > 1:
        _with_workers(task, inputs[0], resources, mailbox)
        return
    end = WorkerEnd(mailbox)

    def on_progress(news: Any) -> None:
        end.post((task.id, news))

    def report(trial: Trial) -> None:
        on_progress(trial)
        _report(trial, task)

    shared = ray.get(inputs[0])
    _plain_errors(
        lambda: run_trial(task, shared, report=report, on_progress=on_progress, stop=end.stop)
    )


def _report(trial: Trial, task: TrialTask) -> None:
    """To Tune, which may end this process here."""
    from ray import tune

    steps = task.recipe["training"]["steps"]
    over = trial.status != "running"
    tune.report(
        {
            "percent": 100 if over else round(100 * trial.step / steps),
            "step": trial.step,
            "fidelity": trial.fidelity,
            "suspicion": trial.suspicion,
            # One number for the early stopping alone; the search itself keeps the two apart.
            "promise": trial.fidelity - trial.suspicion if trial.scored else -1e9,
        }
    )


def _with_workers(task: TrialTask, inputs: Any, resources: Resources, mailbox: Any) -> None:
    """The trial as a Ray Train run of its own; this process only passes reports on."""
    import ray

    # The driver's environment does not reach this process.
    for name, value in SESSION_VARIABLES.items():
        os.environ.setdefault(name, value)
    from mimic_ray.distributed.run_control import new_mailbox

    own = new_mailbox()
    run = _run_of(task)
    trainer = _trainer(task, run, inputs, resources, mailbox, own)
    failure: list[BaseException] = []

    def fit() -> None:
        try:
            trainer.fit()
        except BaseException as error:  # raised again below, in the thread that Tune watches
            failure.append(error)

    thread = threading.Thread(target=fit, name="ray-train", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(_POLL_S)
            for news in ray.get(own.take.remote()):
                if isinstance(news, Trial):
                    _report(news, task)
    except SystemExit:
        # Tune ends this trial. Its workers must give their places back before the next one begins.
        own.ask_to_stop.remote()
        thread.join(_GRACE_S)
        raise
    finally:
        place_of(run, "watcher").close()  # Ray Train's own notes go
    if failure:
        raise TrainingError(f"{type(failure[0]).__name__}: {failure[0]}")


def _run_of(task: TrialTask) -> str:
    with closing(study_place(task.study, f"task-{task.id}")) as study:
        return study.run(task.id)


def _trainer(
    task: TrialTask, run: str, inputs: Any, resources: Resources, mailbox: Any, own: Any
) -> Any:
    from ray.train import FailureConfig, LoggingConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from mimic_ray.distributed.torch_config import ClusterTorchConfig

    notes = parse(below(run, ".ray"))
    return TorchTrainer(
        _worker,
        train_loop_config={"task": task, "inputs": inputs, "mailbox": mailbox, "own": own},
        torch_config=ClusterTorchConfig(),
        scaling_config=ScalingConfig(
            num_workers=resources.workers,
            use_gpu=bool(resources.gpus_per_worker),
            resources_per_worker=resources.each(),
        ),
        run_config=RunConfig(
            # A name that was used before would resume Ray's idea of that run; ours is on disk.
            name=f"{task.id}-{time.time_ns()}",
            storage_path=notes.path,
            storage_filesystem=filesystem_of(notes) if notes.remote else None,
            failure_config=FailureConfig(max_failures=2, controller_failure_limit=0),
            logging_config=LoggingConfig(log_level="ERROR"),
        ),
    )


def _worker(config: dict[str, Any]) -> None:
    """One worker of a trial that has several."""
    import ray
    import ray.train.torch

    from mimic_ray.distributed.run_control import WorkerEnd
    from mimic_ray.method.process_group import ProcessGroup

    context = ray.train.get_context()
    group = ProcessGroup(
        context.get_world_rank(), context.get_world_size(), context.get_local_rank()
    )
    # Each worker of a machine sees the GPUs of all. By name: a bare "cuda" is another in a thread.
    task: TrialTask = replace(config["task"], device=str(ray.train.torch.get_device()))
    end, own = WorkerEnd(config["mailbox"]), WorkerEnd(config["own"])

    def on_progress(news: Any) -> None:
        end.post((task.id, news))
        own.post(news)

    _plain_errors(
        lambda: run_trial(
            task,
            ray.get(config["inputs"]),
            group=group,
            report=on_progress,
            on_progress=on_progress,
            stop=lambda: group.rank == 0 and (end.stop() or own.stop()),
        )
    )


def _read_task(study: str, trial_id: str) -> TrialTask:
    with closing(study_place(study, f"task-{trial_id}")) as place:
        content = place.read_task(trial_id)
    return TrialTask(**{**content, "rungs": tuple(content["rungs"])})


def _plain_errors(work: Any) -> None:
    """Only strings cross the process boundary for certain; the traceback goes to Ray's log."""
    try:
        work()
    except MimicError:
        raise
    except Exception as error:
        traceback.print_exc()
        where = traceback.extract_tb(error.__traceback__)[-1]
        raise TrainingError(
            f"{Path(where.filename).name}:{where.lineno}: {type(error).__name__}: {error}"
        ) from None
