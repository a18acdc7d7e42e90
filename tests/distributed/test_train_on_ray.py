"""A run on a fake Ray: attempts, stop requests and the work of a worker."""

from __future__ import annotations

import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from mimic_ray.base.errors import (
    DataError,
    ResourceError,
    StoppedError,
    TrainingError,
)
from mimic_ray.base.progress import Progress
from mimic_ray.base.resources import Resources
from mimic_ray.distributed import train_on_ray as module
from mimic_ray.distributed.run_control import RunControl
from mimic_ray.distributed.train_on_ray import RunTask, train_on_ray
from mimic_ray.execution.distill_job import DistillJob
from mimic_ray.method.collectives import ProcessGroup
from mimic_ray.method.recipe import Recipe
from tests.distributed.local_ray import use_local_ray

JOB = DistillJob("/runs/a", "tiny_resnet", "images", Recipe())
TWO = Resources(workers=2, cpus_per_worker=1, max_failures=2)


def lost() -> Exception:
    from ray.exceptions import ActorDiedError

    return ActorDiedError()


@pytest.fixture
def cluster(monkeypatch):
    """Counts sessions; `fits` are the replacements of `fit()`, one for each attempt."""
    use_local_ray(monkeypatch)
    world = SimpleNamespace(sessions=0, variables=None, fits=[], tasks=[])

    @contextmanager
    def session(_address, _log, _cpus, variables):
        world.sessions += 1
        world.variables = variables
        yield

    def trainer(_work, task, *_, **__):
        world.tasks.append(task)
        return SimpleNamespace(fit=lambda: SimpleNamespace(return_value=world.fits.pop(0)(task)))

    monkeypatch.setattr(module, "ray_session", session)
    monkeypatch.setattr(module, "torch_trainer", trainer)
    monkeypatch.setattr(module, "cluster_nodes", lambda: [{"CPU": 2.0}])
    monkeypatch.setitem(module.watched_fit.__globals__, "_POLL_S", 0.002)
    return world


def fail(error):
    def fit(_task):
        raise error

    return fit


def run(tmp_path, resources=TWO, should_stop=lambda: 0, on_progress=lambda progress: None):
    return train_on_ray(
        JOB,
        {},
        resources=resources,
        log=tmp_path / "ray.log",
        on_progress=on_progress,
        should_stop=should_stop,
    )


def test_the_outcome_is_that_of_the_workers(cluster, tmp_path):
    cluster.fits = [lambda task: "outcome"]
    assert run(tmp_path) == "outcome"
    (task,) = cluster.tasks
    assert (task.job.threads, task.job.strategy) == (1, "ddp")


def test_progress_of_the_workers_is_passed_on(cluster, tmp_path):
    shown = []
    cluster.fits = [lambda task: task.control.post(Progress("distil", 3, 9))]
    run(tmp_path, on_progress=shown.append)
    assert shown == [Progress("distil", 3, 9)]


def test_a_lost_attempt_is_repeated_in_a_new_session(cluster, tmp_path):
    cluster.fits = [fail(lost()), fail(lost()), lambda task: "outcome"]
    assert run(tmp_path) == "outcome"
    assert cluster.sessions == 3


def test_the_number_of_attempts_is_limited(cluster, tmp_path):
    cluster.fits = [fail(lost())] * 3
    with pytest.raises(TrainingError, match="controller for this run died"):
        run(tmp_path)
    assert cluster.sessions == 3


def test_an_error_that_would_occur_again_is_not_retried(cluster, tmp_path):
    cluster.fits = [fail(RuntimeError("infeasible"))]
    with pytest.raises(TrainingError, match="Ray Train failed: infeasible"):
        run(tmp_path)
    assert cluster.sessions == 1


def test_an_error_of_a_worker_ends_the_run_before_ray_restarts_it(cluster, tmp_path):
    def fit(task):
        task.control.give_up(DataError("no images"))

    cluster.fits = [fit]
    with pytest.raises(DataError, match="no images"):
        run(tmp_path)


def test_a_stop_before_the_start_starts_nothing(cluster, tmp_path):
    with pytest.raises(StoppedError):
        run(tmp_path, should_stop=lambda: 1)
    assert cluster.sessions == 0


def test_a_stop_before_a_worker_has_begun_does_not_wait_for_one(cluster, tmp_path):
    requests = []

    def fit(_task):
        requests.append(1)
        while len(requests) < 100:
            time.sleep(0.001)

    cluster.fits = [fit]
    with pytest.raises(StoppedError, match="before a worker had started"):
        run(tmp_path, should_stop=lambda: len(requests))
    requests.extend(range(100))


def test_a_stop_request_lets_workers_write_a_checkpoint(cluster, tmp_path):
    requests = []

    def fit(task):
        task.control.begin()
        requests.append(1)
        while not task.control.should_stop():
            time.sleep(0.001)
            task.control.post(Progress("distil", 1, 9))
        return "committed"

    cluster.fits = [fit]
    assert run(tmp_path, should_stop=lambda: len(requests)) == "committed"


def test_workers_that_do_not_fit_are_refused_before_they_start(cluster, tmp_path):
    with pytest.raises(ResourceError, match="2 workers of 2 CPU each do not fit"):
        run(tmp_path, Resources(workers=2, cpus_per_worker=2))
    assert not cluster.tasks


def test_waiting_for_nodes_raises_trains_limit_for_the_start(cluster, tmp_path):
    cluster.fits = [lambda task: 1, lambda task: 1]
    run(tmp_path)
    assert cluster.variables == {}
    run(tmp_path, Resources(workers=2, cpus_per_worker=1, capacity_timeout_s=900))
    assert set(cluster.variables.values()) == {"900"}


def worker(monkeypatch, rank, train):
    """Runs the function of a worker with `train` instead of the training."""
    use_local_ray(monkeypatch)
    monkeypatch.setattr(module, "worker_group", lambda: ProcessGroup(rank, 2))
    monkeypatch.setattr(module, "worker_device", lambda: f"cuda:{rank}")
    monkeypatch.setattr(module, "train", train)
    control = RunControl()
    task = RunTask(JOB, {"w": 1}, control.for_worker())
    return control, lambda: module._worker(task)


@pytest.mark.parametrize("rank", [0, 1])
def test_each_worker_trains_on_its_own_device_and_rank_0_stops_the_others(monkeypatch, rank):
    def train(job, state, group, control):
        assert state == {"w": 1}
        return job.device, group.rank, control.should_stop()

    control, start = worker(monkeypatch, rank, train)
    assert start() == (f"cuda:{rank}", rank, False)
    assert control.request_stop() == (rank == 0)  # only rank 0 receives requests


def test_a_mimic_error_in_a_worker_reaches_the_driver_immediately(monkeypatch):
    def train(*_, **__):
        raise DataError("no images")

    control, start = worker(monkeypatch, 0, train)
    with pytest.raises(DataError):
        start()
    control.messages()
    with pytest.raises(DataError):
        control.raise_failure()


def test_any_other_error_is_handled_by_rays_restarts(monkeypatch, capsys):
    def train(*_, **__):
        raise ValueError("7")

    control, start = worker(monkeypatch, 1, train)
    with pytest.raises(
        TrainingError, match=r"Worker 1 failed at test_train_on_ray\.py:\d+: ValueError"
    ):
        start()
    control.raise_failure()
    assert "Traceback" in capsys.readouterr().err  # for Ray's log
