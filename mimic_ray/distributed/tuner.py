"""A search as a Ray Tune run: one process a trial, or Ray Train inside a trial that needs several.

What is tried comes from `searcher`, what a trial does is `runs.trial`, and what lasts is in the
study folder. Of Tune we use placement, early stopping, restarts of killed trials, and loggers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from mimic_ray.base.errors import TrainingError
from mimic_ray.base.resources import Resources, this_machine, trial_slots
from mimic_ray.distributed.capacity import cluster_nodes, wait_for_capacity
from mimic_ray.distributed.prepare_inputs import Facts, Prepare, prepared
from mimic_ray.distributed.ray_private import SEARCH_VARIABLES, START_TIMEOUT_VARIABLE
from mimic_ray.distributed.ray_session import ray_session
from mimic_ray.execution.trial_run import TrialTask
from mimic_ray.method.recipe import Recipe
from mimic_ray.search.relevance import canonical
from mimic_ray.search.space import Space
from mimic_ray.search.trial import RunningTrial, Trial
from mimic_ray.store.progress_file import Live
from mimic_ray.store.study_store import StudyPlace

_POLL_S = 0.2
# After this long without an end of the running trials, they are ended; commits are whole anyway.
_GRACE_S = 60.0
# A killed trial goes on from its last committed step this often; then it has failed.
_RESTARTS = 2
# What a trial takes that only watches over its own workers: no CPU, or a full cluster would lock.
_WATCHER = {"memory": 64 << 20}


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
    before: int = 0  # so many had ended when this command began
    running: dict[str, RunningTrial] = field(default_factory=dict)  # by trial id
    concurrent: int = 1
    began: float = field(default_factory=time.monotonic)

    def seconds_left(self, planned: int) -> float | None:
        """By the pace so far; unknown before a trial has ended."""
        parts = sum(run.step / max(1, run.total_steps) for run in self.running.values())
        done = len(self.ended) - self.before
        if done < 1:
            return None
        pace = (time.monotonic() - self.began) / (done + parts)
        return max(0.0, (planned - len(self.ended) - parts) * pace)


def search_on_ray(
    study: StudyPlace,
    prepare: Prepare[Facts],
    begin: Callable[[Facts], Search],
    resources: Resources,
    known: Sequence[Trial],
    *,
    prepares: Callable[[Any], None],
    on_progress: Callable[[Progress], None],
    stop: Callable[[], int],
) -> Progress:
    """Runs trials until enough have ended or `stop()`; every end is in the study.

    `prepare` makes what trials share, once the cluster is known to be large enough: in this process
    or, on a named cluster, where a trial would run; `prepares` hears how far it is. `begin` is then
    told of its facts. Raises ResourceError before any work, TrainingError when Ray itself fails.
    """
    variables = dict(SEARCH_VARIABLES)
    if resources.capacity_timeout_s:
        # A new node takes minutes to start.
        variables[START_TIMEOUT_VARIABLE] = str(resources.capacity_timeout_s)
    cpus = None if resources.address else int(this_machine()["CPU"])
    with ray_session(resources.address, study.folder.log, cpus, variables):
        wait_for_capacity(resources.for_trials([]), prepares, stop)
        nodes = cluster_nodes()
        resources = resources.for_trials(nodes)
        concurrent = trial_slots(nodes, resources)
        log = study.at(study.folder.log.name)
        facts, inputs = prepared(prepare, resources, log, prepares, stop)
        search = begin(facts)
        driver = _Driver(study, search, known, min(concurrent, search.trials), stop)
        if not stop() and driver.remaining() > 0:
            driver.run(inputs, resources, on_progress)
        return driver.progress


class _Driver:
    """One search under way: hears of trials, keeps their records, decides when it is over."""

    def __init__(
        self,
        study: StudyPlace,
        search: Search,
        known: Sequence[Trial],
        concurrent: int,
        stop: Callable[[], int],
    ) -> None:
        from mimic_ray.distributed.searcher import StudySearcher

        self.study, self.search, self._stop = study, search, stop
        ended = [trial for trial in known if trial.status != "running"]
        self.progress = Progress(ended, len(ended), concurrent=concurrent)
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
        self._shown, self._shown_at = 0, 0.0

    def __getstate__(self) -> dict[str, Any]:
        """Tune saves copies of its searcher and callbacks, of which nothing is read again."""
        return {}

    def remaining(self) -> int:
        return self.search.trials - len(self.progress.ended)

    def failed_too_often(self) -> bool:
        failed = sum(trial.status == "failed" for trial in self.progress.ended)
        return failed > self.search.failed_share * self.search.trials

    def run(
        self, inputs: Any, resources: Resources, on_progress: Callable[[Progress], None]
    ) -> None:
        """`Tuner.fit()` in a thread, so that signals stay ours (Ray replaces SIGINT for good).

        `inputs`: a reference to the TrialInputs.
        """
        import ray

        from mimic_ray.distributed.run_control import new_mailbox

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
            on_progress(self.progress)
            self._show()
            if (self._stop() or self.failed_too_often()) and asked_at is None:
                asked_at = time.monotonic()
                mailbox.ask_to_stop.remote()
            late = asked_at is not None and time.monotonic() - asked_at > _GRACE_S
            if late or self._stop() > 1:
                return  # ending the session ends the trials
        self._show()
        if failure and not self._stop():
            error = failure[0]
            log = self.study.at(self.study.folder.log.name)
            raise TrainingError(
                f"Ray Tune failed: {type(error).__name__}: {error}. Ended trials are kept: run the "
                f"same command with --resume. Ray's log is in {log}."
            ) from error

    def _show(self) -> None:
        """For those who ask from elsewhere: every few seconds, and when a trial has ended."""
        clock, ended = time.monotonic(), len(self.progress.ended)
        if ended > self._shown or clock - self._shown_at >= self.study.live.every_s:
            self._shown, self._shown_at = ended, clock
            self.study.live.write(
                Live(
                    self.search.trials,
                    len(self.progress.ended),
                    seconds_left=self.progress.seconds_left(self.search.trials),
                    workers=len(self.progress.running),
                    phase="search",
                )
            )

    def began(self, ray_id: str) -> None:
        """A trial's process starts, perhaps again after a kill."""
        self._began.setdefault(ray_id, time.monotonic())

    def ended(self, ray_id: str, error: str = "") -> None:
        """A trial's process is over: its record says how, or the kill that it did not see."""
        task = self.tasks.pop(ray_id, None)
        if task is None:
            return
        self.progress.running.pop(task.id, None)
        trial = self.study.read_trial(task.id) or task.trial()
        if trial.status == "running" and error:
            trial = replace(trial, status="failed", error=error)
        elif trial.status == "running" and not self._interrupted():
            trial = replace(trial, status="stopped")  # at a rung, by the scheduler
            self.study.drop_checkpoints(task.id)
        elif trial.status == "running":
            return  # goes on with --resume
        wall = time.monotonic() - self._began.pop(ray_id, time.monotonic())
        scoring = trial.extra.get("scoring_s", 0.0)
        trial = replace(trial, overhead_s=round(max(0.0, wall - trial.seconds - scoring), 2))
        self.study.write_trial(trial)
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
            study=self.study.address,
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
        self.study.write_trial(self.study.read_trial(task.id) or task.trial())
        self.study.write_task(task.id, asdict(task))
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


def _tuner(driver: _Driver, inputs: Any, resources: Resources, mailbox: Any) -> Any:
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler

    from mimic_ray.distributed.trial_process import run_in_trial

    folder, search = driver.study.folder, driver.search
    trainable = tune.with_parameters(
        run_in_trial,
        inputs=[inputs],  # a bare reference cannot be put into the object store
        study=driver.study.address,
        resources=resources,
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
            callbacks=[_listener(driver), *_loggers(driver.study, search)],
            verbose=0,
        ),
    )


def _placement(resources: Resources) -> Any:
    from ray.tune import PlacementGroupFactory

    if resources.workers > 1:
        return PlacementGroupFactory([_WATCHER])
    return PlacementGroupFactory([resources.each()])


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


def _loggers(study: StudyPlace, search: Search) -> list[Any]:
    """TensorBoard always; others where a user asks for them."""
    from ray.tune.logger import TBXLoggerCallback

    loggers: list[Any] = [TBXLoggerCallback()]
    name = study.address.partition("?")[0].rpartition("/")[2]
    if "mlflow" in search.trackers:
        from ray.air.integrations.mlflow import MLflowLoggerCallback

        loggers.append(MLflowLoggerCallback(experiment_name=name))
    if "wandb" in search.trackers:
        from ray.air.integrations.wandb import WandbLoggerCallback

        loggers.append(WandbLoggerCallback(project=name))
    return loggers
