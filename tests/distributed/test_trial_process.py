"""The processes of a trial and of its workers, with a fake Ray."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from mimic_ray.base.errors import TrainingError
from mimic_ray.base.progress import Progress
from mimic_ray.base.resources import Resources
from mimic_ray.distributed import trial_process as module
from mimic_ray.distributed.run_control import RunControl
from mimic_ray.distributed.trial_process import TrialContext, TrialMessage, TrialWorkerTask
from mimic_ray.execution.trial_run import TrialTask
from mimic_ray.method.collectives import ProcessGroup
from mimic_ray.search.trial import Trial
from tests.distributed.local_ray import use_local_ray

TASK = TrialTask("/study", "0a", 3, {}, {"training": {"steps": 80}}, "tiny_resnet", (20,))
RUNG = Trial("0a", 3, "running", {}, step=20, scores={"fidelity": 0.8, "suspicion": 0.3})


@pytest.fixture
def search(monkeypatch):
    """The driver's control, a context for trials, and their reports to Tune."""
    use_local_ray(monkeypatch)
    world = SimpleNamespace(control=RunControl(), reports=[])
    world.context = TrialContext(
        "/study", {"inputs": 1}, Resources(cpus_per_worker=1), world.control.for_worker(), "ray.log"
    )
    monkeypatch.setattr("ray.tune.report", world.reports.append)
    monkeypatch.setattr(module, "_read_task", lambda study, trial_id: TASK)
    monkeypatch.setitem(module.watched_fit.__globals__, "_POLL_S", 0.002)
    return world


def rung_reached(_task, inputs, *, control):
    """Replaces run_trial: posts one message of progress and one rung."""
    assert inputs == {"inputs": 1}
    control.post(Progress("distil", 20, 80))
    control.report(RUNG)


def test_a_trial_reports_to_the_driver_and_to_tune(search, monkeypatch):
    monkeypatch.setattr(module, "run_trial", rung_reached)
    module.run_in_trial({"trial": "0a"}, search.context)
    assert search.control.messages() == [
        TrialMessage("0a", Progress("distil", 20, 80)),
        TrialMessage("0a", RUNG),
    ]
    (report,) = search.reports
    assert (report["percent"], report["step"]) == (25, 20)
    assert report["total"] == pytest.approx(0.5)


def test_an_ended_trial_without_scores_still_reports_every_key(search):
    module._report_to_tune(Trial("0a", 3, "failed", {}), TASK)
    (report,) = search.reports
    assert report["percent"] == 100
    assert report["total"] < -1e6


def test_an_unexpected_error_becomes_a_mimic_error(search, monkeypatch):
    def broken(*_, **__):
        raise ValueError("7")

    monkeypatch.setattr(module, "run_trial", broken)
    with pytest.raises(TrainingError, match=r"test_trial_process\.py:\d+: ValueError: 7"):
        module.run_in_trial({"trial": "0a"}, search.context)


def worker_task(search):
    watcher = RunControl()
    return watcher, TrialWorkerTask(TASK, search.context, watcher.for_worker())


@pytest.mark.parametrize("rank", [0, 1])
def test_each_worker_of_a_trial_takes_its_own_device(search, monkeypatch, rank):
    seen = []
    monkeypatch.setattr(module, "worker_group", lambda: ProcessGroup(rank, 2, rank))
    monkeypatch.setattr(module, "worker_device", lambda: f"cuda:{rank}")
    monkeypatch.setattr(
        module, "run_trial", lambda task, _, group, __: seen.append((task.device, group.rank))
    )
    module._worker(worker_task(search)[1])
    assert seen == [(f"cuda:{rank}", rank)]


@pytest.mark.parametrize("by", ["driver", "watcher"])
def test_a_worker_stops_for_the_driver_and_for_its_watcher(search, monkeypatch, by):
    watcher, task = worker_task(search)
    stops = []

    def run_trial(_task, _inputs, _group, control):
        (search.control if by == "driver" else watcher).request_stop()
        control.post(Progress("distil", 1, 80))
        stops.append(control.should_stop())

    monkeypatch.setattr(module, "worker_group", lambda: ProcessGroup(0, 2))
    monkeypatch.setattr(module, "worker_device", lambda: "cpu")
    monkeypatch.setattr(module, "run_trial", run_trial)
    module._worker(task)
    assert stops == [True]


@pytest.fixture
def watched(search, monkeypatch, tmp_path):
    """Runs a trial with workers, whose `fit()` is a function of the input of each worker."""
    closed = []
    study = SimpleNamespace(run=lambda trial: str(tmp_path / trial), close=lambda: None)
    run = SimpleNamespace(close=lambda: closed.append(1))
    monkeypatch.setattr(module, "open_study", lambda *_: study)
    monkeypatch.setattr(module, "open_run", lambda *_: run)

    def start(fit):
        monkeypatch.setattr(
            module,
            "torch_trainer",
            lambda _work, task, *_, **__: SimpleNamespace(fit=lambda: fit(task)),
        )
        module._run_with_workers(TASK, search.context)

    return SimpleNamespace(start=start, closed=closed)


def test_the_watching_process_passes_reports_to_tune_but_not_progress(search, watched):
    def fit(task):
        task.watcher.post(Progress("distil", 20, 80))
        task.watcher.post(RUNG)

    watched.start(fit)
    assert [report["step"] for report in search.reports] == [20]
    assert watched.closed


def test_a_trial_that_tune_ends_stops_its_workers_first(watched, monkeypatch):
    committed = []

    def fit(task):
        task.watcher.post(RUNG)
        while not task.watcher.should_stop():
            time.sleep(0.001)
            task.watcher.post(Progress("distil", 21, 80))
        committed.append(21)

    def end_the_trial(_report):
        raise SystemExit

    monkeypatch.setattr("ray.tune.report", end_the_trial)
    with pytest.raises(SystemExit):
        watched.start(fit)
    assert committed == [21]
    assert watched.closed


def test_workers_that_ray_gave_up_on_fail_the_trial_with_one_sentence(watched):
    def fit(_task):
        raise RuntimeError("page\npage\nout of file descriptors")

    with pytest.raises(TrainingError, match=r"out of file descriptors\..*Ray's log is ray\.log"):
        watched.start(fit)
    assert watched.closed
