"""A search as a Ray Tune run: one process per trial, or Ray Train inside a trial with workers.

`searcher.py` suggests recipes, `execution/trial_run.py` runs one trial, and the study folder has
the persistent state. Tune provides placement, early stopping, restarts of killed trials, and
loggers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mimic_ray.base.errors import TrainingError, option
from mimic_ray.base.progress import ProgressCallback
from mimic_ray.base.resources import Resources, most_trials, this_machine, trial_slots
from mimic_ray.distributed.capacity import cluster_nodes, largest_cluster, wait_for_capacity
from mimic_ray.distributed.head_health import cluster_head
from mimic_ray.distributed.prepare_inputs import Facts, Prepare, prepare_inputs
from mimic_ray.distributed.ray_private import SEARCH_VARIABLES, START_TIMEOUT_VARIABLE
from mimic_ray.distributed.ray_session import ray_session
from mimic_ray.distributed.trial_process import EARLY_STOPPING_METRIC, TrialContext, run_in_trial
from mimic_ray.distributed.trial_slots import TrialSlots
from mimic_ray.distributed.watched_fit import FitFailedError, StopTimeoutError, watched_fit
from mimic_ray.search.search_plan import SearchPlan
from mimic_ray.search.search_progress import SearchProgressCallback
from mimic_ray.search.trial import Trial
from mimic_ray.store.study_store import StudyStore

if TYPE_CHECKING:
    from mimic_ray.distributed.search_driver import SearchDriver

# How often a killed trial continues from its last checkpoint before it counts as failed.
_RESTARTS = 2
# As many trials as nodes that may join fit.
_UNKNOWN = 1 << 30
# A trial with workers only watches them. It takes no CPU, or a full cluster would deadlock.
_WATCHER = {"memory": 64 << 20}


@dataclass(frozen=True)
class SearchCluster:
    """A connection to Ray that fits `concurrent` trials of `resources` now, and `most` at most.

    If it `grows`, the search asks for the nodes that it wants.
    """

    resources: Resources
    concurrent: int
    most: int
    grows: bool
    on_progress: ProgressCallback
    should_stop: Callable[[], int]

    def prepare(self, prepare: Prepare[Facts], study: StudyStore) -> tuple[Facts, Any]:
        """The facts, and a reference to the shared inputs; see `prepare_inputs`."""
        log = study.store.location(study.folder.log.name)
        return prepare_inputs(prepare, self.resources, log, self.on_progress, self.should_stop)

    def run(
        self,
        study: StudyStore,
        plan: SearchPlan,
        known: Sequence[Trial],
        inputs: Any,
        on_search_progress: SearchProgressCallback,
    ) -> None:
        """Runs trials until enough have ended or a stop is requested; the study has the results.

        Raises TrainingError when Ray itself fails or the head is lost.
        """
        from mimic_ray.distributed.search_driver import SearchDriver

        slots = TrialSlots(
            self.resources, self.concurrent, min(self.most, plan.trials), requests_nodes=self.grows
        )
        driver = SearchDriver(
            study,
            plan,
            known,
            slots,
            on_search_progress,
            self.should_stop,
            cluster_head(self.resources.address),
        )
        if driver.is_over() or driver.progress.remaining <= 0:
            return
        tuner = _tuner(driver, inputs, self.resources)
        try:
            watched_fit(tuner.fit, driver)
        except StopTimeoutError:
            pass  # closing the session ends the trials
        except FitFailedError as failed:
            if not self.should_stop():
                raise _tune_failed(study, failed.error) from failed.error
        finally:
            slots.close()
        driver.write_progress()


@contextmanager
def search_cluster(
    resources: Resources,
    log: Path,
    on_progress: ProgressCallback,
    should_stop: Callable[[], int],
    worker_memory: int = 0,
) -> Iterator[SearchCluster]:
    """Connects to Ray and waits until it fits a trial. Raises ResourceError if it does not.

    `worker_memory` is the estimate for a worker on the CPU, in bytes.
    """
    variables = dict(SEARCH_VARIABLES)
    if resources.capacity_timeout_s:
        # New nodes take minutes to start.
        variables[START_TIMEOUT_VARIABLE] = str(resources.capacity_timeout_s)
    cpus = None if resources.address else int(this_machine()["CPU"])
    with ray_session(resources.address, log, cpus, variables):
        wait_for_capacity(resources.for_trials([]), on_progress, should_stop)
        nodes, largest = cluster_nodes(), largest_cluster()
        resources = resources.for_trials(nodes, worker_memory)
        now = trial_slots(nodes, resources, largest)
        # Nodes may join any cluster.
        most = resources.concurrent_trials or (
            _UNKNOWN if largest is None else max(now, most_trials(largest, resources))
        )
        grows = largest is not None or resources.capacity_timeout_s > 0
        yield SearchCluster(resources, now, most, grows, on_progress, should_stop)


def _tune_failed(study: StudyStore, error: BaseException) -> TrainingError:
    log = study.store.location(study.folder.log.name)
    return TrainingError(
        f"Ray Tune failed: {type(error).__name__}: {error}. Ended trials are kept: continue with "
        f"the same command and {option('resume', True)}. Ray's log is {log}."
    )


def _tuner(driver: SearchDriver, inputs: Any, resources: Resources) -> Any:
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler

    study, plan = driver.study, driver.plan
    context = TrialContext(
        study=study.address,
        inputs=inputs,
        resources=resources,
        control=driver.control.for_worker(),
        log=str(study.store.location(study.folder.log.name)),
    )
    scheduler = None
    if plan.early_stopping:
        scheduler = ASHAScheduler(
            time_attr="percent",
            metric=EARLY_STOPPING_METRIC,
            mode="max",
            max_t=100,
            grace_period=25,
            reduction_factor=2,
        )
    trainable = tune.with_parameters(run_in_trial, context=context)
    return tune.Tuner(
        tune.with_resources(trainable, _placement(resources)),
        tune_config=tune.TuneConfig(
            search_alg=driver.searcher,
            scheduler=scheduler,
            num_samples=driver.progress.remaining,
            max_concurrent_trials=driver.slots.most,
            # Avoids starting a process and importing torch for each trial.
            reuse_actors=True,
            trial_name_creator=lambda trial: trial.config["trial"],
            trial_dirname_creator=lambda trial: trial.config["trial"],
        ),
        run_config=tune.RunConfig(
            name=study.folder.tensorboard.name,
            storage_path=str(study.folder.path.resolve()),
            failure_config=tune.FailureConfig(max_failures=_RESTARTS),
            callbacks=[_listener(driver), *_loggers(study, plan)],
            verbose=0,
        ),
    )


def _placement(resources: Resources) -> Any:
    from ray.tune import PlacementGroupFactory

    return PlacementGroupFactory([_WATCHER if resources.workers > 1 else resources.each()])


def _listener(driver: SearchDriver) -> Any:
    from ray.tune import Callback

    class Listener(Callback):
        """Runs in the loop of `fit()`: it must be fast, and its errors must not end the search."""

        def on_trial_start(self, **event: Any) -> None:
            driver.trial_started(event["trial"].trial_id)

        def on_trial_complete(self, **event: Any) -> None:
            driver.trial_ended(event["trial"].trial_id)

        def on_trial_error(self, **event: Any) -> None:
            reason = "killed"
            with suppress(Exception):
                reason = str(event["trial"].get_error()).strip().splitlines()[-1]
            driver.trial_ended(event["trial"].trial_id, f"The trial's process died: {reason}")

    return Listener()


def _loggers(study: StudyStore, plan: SearchPlan) -> list[Any]:
    """TensorBoard, and the requested trackers."""
    from ray.tune.logger import TBXLoggerCallback

    loggers: list[Any] = [TBXLoggerCallback()]
    name = study.address.partition("?")[0].rpartition("/")[2]
    if "mlflow" in plan.trackers:
        from ray.air.integrations.mlflow import MLflowLoggerCallback

        loggers.append(MLflowLoggerCallback(experiment_name=name))
    if "wandb" in plan.trackers:
        from ray.air.integrations.wandb import WandbLoggerCallback

        loggers.append(WandbLoggerCallback(project=name))
    return loggers
