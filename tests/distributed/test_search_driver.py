"""The records that the driver of a search keeps, and the end of the search; without Ray."""

from __future__ import annotations

import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from mimic_ray.base.errors import TrainingError
from mimic_ray.base.progress import Progress
from mimic_ray.base.resources import Resources
from mimic_ray.distributed.trial_slots import TrialSlots
from mimic_ray.method.recipe import Recipe
from mimic_ray.search.search_plan import SearchPlan
from mimic_ray.search.space import default_space
from mimic_ray.search.trial import Trial
from mimic_ray.store.progress_file import read_progress
from mimic_ray.store.study_store import open_study
from tests.distributed.local_ray import use_local_ray
from tests.distributed.lost_head import World

SPACE = default_space(Recipe(), [0.0])


@pytest.fixture
def search(monkeypatch, tmp_path):
    """A function that creates a driver; `requests` are the user's stop requests."""
    use_local_ray(monkeypatch)
    from mimic_ray.distributed.search_driver import SearchDriver

    (tmp_path / "study").mkdir()
    study = open_study(tmp_path / "study", "driver")
    world = SimpleNamespace(study=study, requests=0, shown=[])

    def driver(known=(), trials=4, failed_share=0.25, head=None):
        plan = SearchPlan(
            "tiny_resnet", SPACE, Recipe(), [1.0], trials, seed=0, failed_share=failed_share
        )
        slots = TrialSlots(Resources(), now=2, most=2, requests_nodes=False)
        return SearchDriver(
            study,
            plan,
            known,
            slots,
            world.shown.append,
            should_stop=lambda: world.requests,
            head=head,
        )

    world.driver = driver
    return world


def started(driver, ray_id="ray1"):
    """Starts the next trial like Tune; returns its id."""
    config = driver.searcher.suggest(ray_id)
    driver.trial_started(ray_id)
    return config["trial"]


def write(search, trial_id, **fields):
    """Writes the record of a trial like its process."""
    trial = search.study.read_trial(trial_id)
    search.study.write_trial(replace(trial, **fields))


def test_a_suggested_trial_has_a_record_and_a_task_before_its_process_starts(search):
    driver = search.driver()
    trial_id = started(driver)
    assert search.study.read_trial(trial_id).status == "running"
    task = search.study.read_task(trial_id)
    assert (task["encoder"], task["base"], task["rungs"]) == ("tiny_resnet", True, [])
    assert list(driver.progress.running) == [trial_id]


def test_a_finished_trial_counts_with_its_record(search):
    driver = search.driver()
    trial_id = started(driver)
    write(search, trial_id, status="finished", scores={"fidelity": 0.9, "suspicion": 0.1})
    driver.trial_ended("ray1")
    (ended,) = driver.progress.ended
    assert (ended.id, ended.score("fidelity")) == (trial_id, 0.9)
    assert driver.progress.remaining == 3
    assert driver.progress.running == {}


def test_a_trial_that_tune_ended_at_a_rung_is_stopped(search):
    driver = search.driver()
    trial_id = started(driver)
    write(search, trial_id, step=150)
    driver.trial_ended("ray1")
    assert search.study.read_trial(trial_id).status == "stopped"


def test_a_killed_trial_has_failed_with_the_reason(search):
    driver = search.driver(failed_share=1.0)
    trial_id = started(driver)
    driver.trial_ended("ray1", "The trial's process died: killed")
    trial = search.study.read_trial(trial_id)
    assert (trial.status, trial.error) == ("failed", "The trial's process died: killed")


def test_a_trial_interrupted_by_a_stop_request_can_be_resumed(search):
    driver = search.driver()
    trial_id = started(driver)
    search.requests = 1
    driver.trial_ended("ray1")
    assert search.study.read_trial(trial_id).status == "running"
    assert driver.progress.ended == []


def test_the_overhead_of_a_resumed_trial_leaves_out_what_it_trained_before(search, monkeypatch):
    clock = SimpleNamespace(now=1000.0)
    fake = SimpleNamespace(monotonic=lambda: clock.now, time=time.time)
    monkeypatch.setattr("mimic_ray.distributed.search_driver.time", fake)
    driver = search.driver()
    trial_id = started(driver)
    write(search, trial_id, seconds=100.0, overhead_s=2.0)
    search.requests = 1
    driver.trial_ended("ray1")
    search.requests = 0

    resumed = search.driver(known=[search.study.read_trial(trial_id)])
    assert started(resumed, "ray2") == trial_id
    clock.now += 30
    write(search, trial_id, seconds=120.0, status="finished")
    resumed.trial_ended("ray2")
    assert search.study.read_trial(trial_id).overhead_s == 2 + 30 - 20


def test_a_stop_request_reaches_the_trials_and_no_trial_starts_after_it(search):
    driver = search.driver()
    worker = driver.control.for_worker()
    worker.begin()
    search.requests = 1
    assert driver.stop_requests() == 1
    driver.request_stop()
    worker.post(None)
    assert worker.should_stop()
    assert driver.searcher.suggest("ray1") == driver.searcher.FINISHED


@pytest.mark.parametrize(("failures", "over"), [(1, False), (2, True)])
def test_too_many_failed_trials_end_the_search(search, failures, over):
    driver = search.driver(trials=4, failed_share=0.25)
    for number in range(failures):
        trial_id = started(driver, f"ray{number}")
        write(search, trial_id, status="failed", error="not finite")
        driver.trial_ended(f"ray{number}")
    assert driver.is_over() == over
    assert driver.stop_requests() == over


def test_messages_of_a_running_trial_are_shown(search):
    from mimic_ray.distributed.trial_process import TrialMessage

    driver = search.driver()
    trial_id = started(driver)
    worker = driver.control.for_worker()
    worker.post(TrialMessage(trial_id, Progress("distil", 150, 600)))
    worker.post(TrialMessage(trial_id, Trial(trial_id, 0, "running", {}, scores={"fidelity": 0.7})))
    worker.post(TrialMessage("another", Progress("distil", 1, 600)))
    driver.poll()
    (running,) = search.shown[-1].running.values()
    assert (running.step, running.scores) == (150, {"fidelity": 0.7})


def test_the_progress_file_has_the_number_of_ended_trials(search):
    driver = search.driver()
    trial_id = started(driver)
    driver.poll()
    write(search, trial_id, status="finished", scores={"fidelity": 0.9, "suspicion": 0.1})
    driver.trial_ended("ray1")
    driver.poll()
    progress = read_progress(search.study.folder.path)
    assert (progress.phase, progress.step, progress.steps) == ("search", 1, 4)


def test_a_lost_head_ends_the_search_with_the_way_to_continue(search):
    world = World()
    driver = search.driver(head=world.health())
    world.wait(100, driver.poll)
    world.is_up = False
    with pytest.raises(TrainingError, match=r"head of the cluster.*not answered.*resume=True"):
        world.wait(45, driver.poll)


def test_a_resumed_search_counts_the_earlier_trials(search):
    known = [Trial("a" * 12, 0, "finished", {}), Trial("b" * 12, 1, "running", {})]
    progress = search.driver(known).progress
    assert (progress.remaining, progress.ended_before, progress.concurrent) == (3, 1, 2)
