"""The texts are those that Ray 2.60 gave on hosts where these things happened."""

from pathlib import Path

import pytest

from mimic_ray.base.errors import DataError, TrainingError
from mimic_ray.distributed.ray_errors import as_ours, in_a_worker, was_lost

LOG = Path("/runs/a/ray.log")

KILLED = """The actor died unexpectedly before finishing this task.
\tclass_name: RayTrainWorker
\tactor_id: 9a27435f92402b15a7257e6701000000
\tpid: 122
\tnamespace: ab33ca72-e88b-438e-b5bd-2fc0931bd894
\tip: 10.77.0.13
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit \
detail: Worker unexpectedly exits with a connection error code 2. End of file. Some common causes \
include: (1) the process was killed by the OOM killer due to high memory usage."""


class ActorDiedError(Exception):
    pass


class WorkerHealthCheckFailedError(Exception):
    def __init__(self, failure):
        super().__init__(f"A worker health check failed.\n{failure}")
        self.health_check_failure = failure


class WorkerGroupError(Exception):
    def __init__(self, worker_failures):
        super().__init__("Training failed due to worker errors:\n" + "page\n" * 50)
        self.worker_failures = worker_failures


class ControllerError(Exception):
    def __init__(self, controller_failure):
        super().__init__("Training failed due to controller error:\n" + "page\n" * 50)
        self.controller_failure = controller_failure


def sentence(error):
    ours = as_ours(error, LOG)
    assert isinstance(ours, TrainingError)
    assert "\n" not in ours.message
    assert "--resume" in ours.message
    assert str(LOG) in ours.message
    return ours.message


def test_of_two_workers_that_failed_the_one_that_died_is_named():
    peer = RuntimeError("[/__w/pytorch/gloo/transport/tcp/pair.cc:534] Connection closed by peer")
    error = WorkerGroupError({0: peer, 1: WorkerHealthCheckFailedError(ActorDiedError(KILLED))})
    assert sentence(error).startswith("Worker 1 on 10.77.0.13 died: its process was killed or")


def test_of_one_that_died_and_one_that_lost_it_the_dead_one_is_told():
    gloo = RuntimeError("[/__w/gloo/transport/tcp/pair.cc:534] Connection closed by peer. GLHF!")
    lost = in_a_worker(0, gloo)
    assert "pair.cc" not in lost.message
    assert "lost the other workers" in lost.message
    error = WorkerGroupError({0: lost, 1: WorkerHealthCheckFailedError(ActorDiedError(KILLED))})
    assert sentence(error).startswith("Worker 1 on 10.77.0.13 died")
    assert as_ours(WorkerGroupError({0: lost}), LOG) is lost


def test_another_error_in_a_worker_is_told_with_its_place():
    try:
        raise ValueError("Traceback of a page\n7 is no prime.")
    except ValueError as error:
        message = in_a_worker(2, error).message
    assert message.startswith("Worker 2 failed at test_ray_errors.py:")
    assert "ValueError: 7 is no prime. What was committed" in message


def test_a_controller_that_was_killed_is_lost_and_worth_another_attempt():
    error = ActorDiedError(KILLED.replace("RayTrainWorker", "TrainController"))
    assert was_lost(error)
    assert "controller of the run on 10.77.0.13 died" in sentence(error)


def test_a_worker_that_died_while_it_started_is_lost_as_well():
    assert was_lost(ControllerError(ActorDiedError(KILLED)))


@pytest.mark.parametrize(
    "error",
    [
        WorkerGroupError({0: WorkerHealthCheckFailedError(ActorDiedError(KILLED))}),
        ControllerError(DataError("no images")),
        RuntimeError("The placement group is infeasible"),
    ],
)
def test_what_ray_has_tried_again_itself_or_would_meet_again_is_not_lost(error):
    assert not was_lost(error)


def test_an_error_of_ours_comes_out_as_it_went_in():
    ours = DataError("images/ holds no image")
    assert as_ours(WorkerGroupError({0: RuntimeError("peer"), 1: ours}), LOG) is ours
    assert as_ours(ControllerError(ours), LOG) is ours


def test_of_a_page_the_last_line_is_told():
    error = WorkerGroupError({3: ValueError("Traceback:\n  File x\nValueError: 7 is no prime.\n")})
    assert sentence(error).startswith("Worker 3 failed: ValueError: 7 is no prime. What was")
