"""A search as a Ray Tune run: one process a trial, or Ray Train inside a trial that needs several.

What is tried comes from `searcher`, what a trial does is `runs.trial`, and what lasts is in the
study folder. Of Tune we use placement, early stopping, restarts of killed trials, and loggers.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from mimic_ray.base import files
from mimic_ray.base.errors import ResourceError, TrainingError
from mimic_ray.base.text import count
from mimic_ray.distributed.session import ray_session
from mimic_ray.method.recipe import Recipe
from mimic_ray.runs.study import StudyFolder, read_trial, write_trial
from mimic_ray.runs.trial import TrialTask, drop_checkpoints
from mimic_ray.runs.trial_inputs import TrialInputs
from mimic_ray.search.relevance import canonical
from mimic_ray.search.space import Space
from mimic_ray.search.trial import RunningTrial, Trial

_POLL_S = 0.2
# After this long without an end of the running trials, they are ended; commits are whole anyway.
_GRACE_S = 60.0
# A killed trial goes on from its last committed step this often; then it has failed.
_RESTARTS = 2
# What a trial takes that only watches over its own workers: no CPU, or a full cluster would lock.
_WATCHER = {"memory": 64 << 20}

_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    # How long a process may take to end a stopped trial before it is used for the next.
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "60",
    # Ours: the first Ctrl-C commits and stops.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}


@dataclass(frozen=True)
class Resources:
    """Of one trial. `gpus_per_worker` None is one where there are any, else none; below 1, trials
    share a GPU. `concurrent` 0 is as many trials as fit."""

    workers: int = 1
    cpus_per_worker: int = 1
    gpus_per_worker: float | None = None
    concurrent: int = 0
    address: str | None = None


@dataclass(frozen=True)
class Search:
    """What is searched and when it ends."""

    encoder: str
    space: Space
    base: Recipe
    shares: Sequence[float] | None  # of the profile; None where trials have their own
    trials: int
    seed: int
    failed_share: float = 0.25
    early_stopping: bool = True
    device: str = "auto"
    threads: int = 0
    trackers: Sequence[str] = ()


@dataclass
class Progress:
    """How a search stands, for whoever watches."""

    ended: list[Trial]
    running: dict[str, RunningTrial] = field(default_factory=dict)  # by trial id
    concurrent: int = 1


def search_on_ray(
    folder: StudyFolder,
    prepare: Callable[[], tuple[Search, TrialInputs]],
    resources: Resources,
    known: Sequence[Trial],
    tell: Callable[[Progress], None],
    stop: Callable[[], int],
) -> Progress:
    """Runs trials until enough have ended or `stop()`; every end is in the study folder.

    `prepare` is called once the cluster is known to be large enough. Raises ResourceError before
    any work, TrainingError when Ray Tune itself fails.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    cpus = None if resources.address else _here()["CPU"]
    with ray_session(resources.address, folder.log, cpus=cpus):
        import ray

        have = ray.cluster_resources()
        resources = _with_gpus(resources, have)
        concurrent = concurrency(have, resources)
        search, inputs = prepare()
        driver = _Driver(folder, search, known, min(concurrent, search.trials), stop)
        if not stop() and driver.remaining() > 0:
            driver.run(inputs, resources, tell)
        return driver.progress


def check_here(resources: Resources) -> None:
    """Raises ResourceError if this machine is too small; before Ray starts, which takes seconds."""
    concurrency(_here(), _with_gpus(resources, _here()))


def concurrency(have: Mapping[str, float], resources: Resources) -> int:
    """How many trials run at once. Raises ResourceError with the arithmetic when it cannot be."""
    workers = resources.workers
    most = []
    for kind, each in (("CPU", resources.cpus_per_worker), ("GPU", resources.gpus_per_worker)):
        if not each:
            continue
        need, there = workers * each, have.get(kind, 0)
        arithmetic = f"{count(workers, 'worker')} x {each:g} {kind} = {need:g} {kind}s a trial"
        if need > there:
            raise ResourceError(
                f"A trial does not fit: {arithmetic}, and the cluster has {there:g}: lower "
                f"--workers or --{kind.lower()}s-per-worker."
            )
        most.append(int(there // need))
        if resources.concurrent * need > there:
            raise ResourceError(
                f"--concurrent {resources.concurrent} does not fit: {arithmetic}, times "
                f"{resources.concurrent} is {resources.concurrent * need:g}, and the cluster has "
                f"{there:g}: at most --concurrent {most[-1]}."
            )
    return resources.concurrent or min(most)


class _Driver:
    """One search under way: hears of trials, keeps their records, decides when it is over."""

    def __init__(
        self,
        folder: StudyFolder,
        search: Search,
        known: Sequence[Trial],
        concurrent: int,
        stop: Callable[[], int],
    ) -> None:
        from mimic_ray.distributed.searcher import StudySearcher

        self.folder, self.search, self._stop = folder, search, stop
        ended = [trial for trial in known if trial.status != "running"]
        self.progress = Progress(ended, concurrent=concurrent)
        self.searcher = StudySearcher(
            search.space,
            search.base,
            search.shares,
            search.seed,
            search.trials,
            known,
            wanted=lambda: not stop() and not self.failed_too_often(),
            on_suggestion=self._suggested,
        )
        self.tasks: dict[str, TrialTask] = {}  # by Ray's trial id
        self._began: dict[str, float] = {}

    def remaining(self) -> int:
        return self.search.trials - len(self.progress.ended)

    def failed_too_often(self) -> bool:
        failed = sum(trial.status == "failed" for trial in self.progress.ended)
        return failed > self.search.failed_share * self.search.trials

    def run(
        self, inputs: TrialInputs, resources: Resources, tell: Callable[[Progress], None]
    ) -> None:
        """`Tuner.fit()` in a thread, so that signals stay ours (Ray replaces SIGINT for good)."""
        import ray

        from mimic_ray.distributed.mailbox import new_mailbox

        mailbox = new_mailbox()
        tuner = _tuner(self, inputs, resources, mailbox)
        failure: list[BaseException] = []

        def fit() -> None:
            try:
                tuner.fit()
            except BaseException as error:  # SystemExit too: shutdown ends the thread with it
                failure.append(error)

        thread = threading.Thread(target=fit, name="ray-tune", daemon=True)
        thread.start()
        asked_at: float | None = None
        while thread.is_alive():
            thread.join(_POLL_S)
            for trial_id, news in ray.get(mailbox.take.remote()):
                self._heard(trial_id, news)
            tell(self.progress)
            if (self._stop() or self.failed_too_often()) and asked_at is None:
                asked_at = time.monotonic()
                mailbox.ask_to_stop.remote()
            late = asked_at is not None and time.monotonic() - asked_at > _GRACE_S
            if late or self._stop() > 1:
                return  # ending the session ends the trials
        if failure and not self._stop():
            error = failure[0]
            raise TrainingError(
                f"Ray Tune failed: {type(error).__name__}: {error}. Ended trials are kept: run the "
                f"same command with --resume. Ray's log is in {self.folder.log}."
            ) from error

    def began(self, ray_id: str) -> None:
        """A trial's process starts, perhaps again after a kill."""
        self._began.setdefault(ray_id, time.monotonic())

    def ended(self, ray_id: str, error: str = "") -> None:
        """A trial's process is over: its record says how, or the kill that it did not see."""
        task = self.tasks.pop(ray_id, None)
        if task is None:
            return
        self.progress.running.pop(task.id, None)
        trial = read_trial(self.folder, task.id) or task.trial()
        if trial.status == "running" and error:
            trial = replace(trial, status="failed", error=error)
        elif trial.status == "running" and not self._interrupted():
            trial = replace(trial, status="stopped")  # at a rung, by the scheduler
            drop_checkpoints(self.folder, task.id)
        elif trial.status == "running":
            return  # goes on with --resume
        wall = time.monotonic() - self._began.pop(ray_id, time.monotonic())
        scoring = trial.extra.get("scoring_s", 0.0)
        trial = replace(trial, overhead_s=round(max(0.0, wall - trial.seconds - scoring), 2))
        write_trial(self.folder, trial)
        self.progress.ended.append(trial)
        self.searcher.told(ray_id, trial)

    def _interrupted(self) -> bool:
        return bool(self._stop()) or self.failed_too_often()

    def _suggested(self, ray_id: str, suggestion: Any) -> None:
        steps = suggestion.recipe.training.steps
        base = suggestion.recipe == canonical(self.search.base, self.search.shares)
        rungs: tuple[int, ...] = (max(1, steps // 4), max(2, steps // 2))
        if base or not self.search.early_stopping:
            rungs = ()  # the base recipe is what others are measured by, so it runs to its end
        task = TrialTask(
            study=str(self.folder.path.resolve()),
            id=suggestion.id,
            number=suggestion.number,
            settings=dict(suggestion.settings),
            recipe=suggestion.recipe.model_dump(mode="json"),
            encoder=self.search.encoder,
            rungs=tuple(dict.fromkeys(rung for rung in rungs if rung < steps)),
            device=self.search.device,
            threads=self.search.threads,
            commit_every=max(25, steps // 8),
            base=base,
        )
        self.tasks[ray_id] = task
        write_trial(self.folder, read_trial(self.folder, task.id) or task.trial())
        # The trial's process reads it: a Tune config shall hold the searched settings alone.
        files.write_json(self.folder.trial(task.id).path / "task.json", asdict(task))
        self.progress.running[task.id] = RunningTrial(
            task.id, task.number, task.settings, 0, steps, time.time()
        )

    def _heard(self, trial_id: str, news: Any) -> None:
        running = self.progress.running.get(trial_id)
        if running is None:
            return
        if isinstance(news, Trial):
            running = replace(running, fidelity=news.fidelity, suspicion=news.suspicion)
        elif news.phase == "distil":
            running = replace(running, step=news.done)
        self.progress.running[trial_id] = running


def _tuner(driver: _Driver, inputs: TrialInputs, resources: Resources, mailbox: Any) -> Any:
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler

    from mimic_ray.distributed.trial_process import run_in_trial

    folder, search = driver.folder, driver.search
    trainable = tune.with_parameters(
        run_in_trial,
        inputs=inputs,
        study=str(folder.path.resolve()),
        resources=asdict(resources),
        mailbox=mailbox,
    )
    scheduler = None
    if search.early_stopping:
        scheduler = ASHAScheduler(
            time_attr="percent",
            metric="promise",
            mode="max",
            max_t=100,
            grace_period=25,
            reduction_factor=2,
        )
    return tune.Tuner(
        tune.with_resources(trainable, _placement(resources)),
        tune_config=tune.TuneConfig(
            search_alg=driver.searcher,
            scheduler=scheduler,
            num_samples=driver.remaining(),
            max_concurrent_trials=driver.progress.concurrent,
            # Saves the start of a process and the import of torch, trial by trial.
            reuse_actors=True,
            trial_name_creator=lambda trial: trial.config["trial"],
            trial_dirname_creator=lambda trial: trial.config["trial"],
        ),
        run_config=tune.RunConfig(
            name=folder.tensorboard.name,
            storage_path=str(folder.path.resolve()),
            failure_config=tune.FailureConfig(max_failures=_RESTARTS),
            callbacks=[_listener(driver), *_loggers(folder, search)],
            verbose=0,
        ),
    )


def _placement(resources: Resources) -> Any:
    from ray.tune import PlacementGroupFactory

    if resources.workers > 1:
        return PlacementGroupFactory([_WATCHER])
    bundle = {"CPU": float(resources.cpus_per_worker)}
    if resources.gpus_per_worker:
        bundle["GPU"] = float(resources.gpus_per_worker)
    return PlacementGroupFactory([bundle])


def _listener(driver: _Driver) -> Any:
    from ray.tune import Callback

    class Listener(Callback):
        """Runs in the loop of `fit`: quick, and its errors must not end the search."""

        def on_trial_start(self, **told: Any) -> None:
            driver.began(told["trial"].trial_id)

        def on_trial_complete(self, **told: Any) -> None:
            driver.ended(told["trial"].trial_id)

        def on_trial_error(self, **told: Any) -> None:
            reason = "killed"
            with suppress(Exception):
                reason = str(told["trial"].get_error()).strip().splitlines()[-1]
            driver.ended(told["trial"].trial_id, f"The trial's process died: {reason}")

    return Listener()


def _loggers(folder: StudyFolder, search: Search) -> list[Any]:
    """TensorBoard always; others where a user asks for them."""
    from ray.tune.logger import TBXLoggerCallback

    loggers: list[Any] = [TBXLoggerCallback()]
    name = folder.path.resolve().name
    if "mlflow" in search.trackers:
        from ray.air.integrations.mlflow import MLflowLoggerCallback

        loggers.append(MLflowLoggerCallback(experiment_name=name))
    if "wandb" in search.trackers:
        from ray.air.integrations.wandb import WandbLoggerCallback

        loggers.append(WandbLoggerCallback(project=name))
    return loggers


def _here() -> dict[str, int]:
    import torch

    return {"CPU": os.cpu_count() or 1, "GPU": torch.cuda.device_count()}


def _with_gpus(resources: Resources, have: Mapping[str, float]) -> Resources:
    if resources.gpus_per_worker is not None:
        return resources
    return replace(resources, gpus_per_worker=1.0 if have.get("GPU") else 0.0)
