"""Ray's errors as one sentence. The texts were recorded with Ray 2.60."""

from __future__ import annotations

from pathlib import Path

import pytest

from mimic_ray.base.errors import DataError, TrainingError
from mimic_ray.distributed.ray_errors import is_retryable, to_mimic_error, worker_error

LOG = Path("/runs/a/ray.log")

KILLED = (
    "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker "
    "exit detail: Worker unexpectedly exits with a connection error code 2. End of file. Some "
    "common causes include: (1) the process was killed by the OOM killer due to high memory usage."
)
PEER_LOST = RuntimeError("[/__w/gloo/transport/tcp/pair.cc:534] Connection closed by peer. GLHF!")


# Ray is imported in functions, so that collecting tests is fast.
def killed(name: str = "RayTrainWorker") -> Exception:
    from ray.exceptions import ActorDiedError, ActorDiedErrorContext

    context = ActorDiedErrorContext(
        actor_id=bytes(16), class_name=name, node_ip_address="10.77.0.13", error_message=KILLED
    )
    return ActorDiedError(context)


def dead_worker() -> Exception:
    from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

    return WorkerHealthCheckFailedError("A worker health check failed.", killed())


def workers_failed(failures: dict[int, Exception]) -> Exception:
    from ray.train import WorkerGroupError

    return WorkerGroupError("page\n" * 50, failures)


def controller_failed(cause: Exception) -> Exception:
    from ray.train import ControllerError

    return ControllerError(cause)


def start_timeout() -> Exception:
    from ray.train.v2._internal.exceptions import WorkerGroupStartupTimeoutError

    return WorkerGroupStartupTimeoutError(2)


def sentence(error: BaseException) -> str:
    ours = to_mimic_error(error, LOG)
    assert isinstance(ours, TrainingError)
    assert "\n" not in ours.message
    assert "--resume" in ours.for_command_line()
    assert str(LOG) in ours.message
    return ours.message


def test_the_worker_that_died_is_named_before_its_peers():
    error = workers_failed({0: PEER_LOST, 1: dead_worker()})
    assert sentence(error).startswith("Worker 1 on 10.77.0.13 died: its process was killed or")


def test_the_worker_that_died_is_named_even_if_a_peer_has_a_better_message():
    lost = worker_error(0, PEER_LOST, lambda: False)
    assert "pair.cc" not in lost.message
    assert "lost the connection to the other workers" in lost.message
    error = workers_failed({0: lost, 1: dead_worker()})
    assert sentence(error).startswith("Worker 1 on 10.77.0.13 died")
    assert to_mimic_error(workers_failed({0: lost}), LOG) is lost


def test_where_no_network_is_between_workers_it_did_not_fail():
    assert "or the network failed" in worker_error(0, PEER_LOST, lambda: False).message
    message = worker_error(0, PEER_LOST, lambda: True).message
    assert "network" not in message
    assert "one of them ended (out of memory is the usual reason)" in message


def test_the_error_of_a_worker_has_its_file_and_line():
    try:
        raise ValueError("Traceback of a page\n7 is not a prime.")
    except ValueError as error:
        message = worker_error(2, error, lambda: False).message
    assert message.startswith("Worker 2 failed at test_ray_errors.py:")
    assert "ValueError: 7 is not a prime. Once" in message


def test_a_killed_controller_allows_another_attempt():
    error = killed("TrainController")
    assert is_retryable(error)
    assert "controller for this run on 10.77.0.13 died" in sentence(error)


def test_a_worker_that_died_during_start_up_allows_another_attempt():
    assert is_retryable(controller_failed(killed()))


@pytest.mark.parametrize(
    "error",
    [
        lambda: workers_failed({0: dead_worker()}),
        lambda: controller_failed(DataError("no images")),
        lambda: controller_failed(start_timeout()),
        lambda: RuntimeError("The placement group is infeasible"),
    ],
)
def test_errors_that_ray_has_retried_or_that_would_repeat_allow_no_attempt(error):
    assert not is_retryable(error())


def test_workers_that_did_not_start_in_time_are_explained():
    error = controller_failed(start_timeout())
    assert sentence(error).startswith("The workers did not get their CPUs or GPUs in time")


def test_a_mimic_error_is_returned_unchanged():
    ours = DataError("images/ contains no images")
    assert to_mimic_error(workers_failed({0: RuntimeError("peer"), 1: ours}), LOG) is ours
    assert to_mimic_error(controller_failed(ours), LOG) is ours


def test_only_the_last_line_of_a_long_error_is_shown():
    error = workers_failed({3: ValueError("Traceback:\n  File x\nValueError: 7 is odd.\n")})
    assert sentence(error).startswith("Worker 3 failed: ValueError: 7 is odd. Once")
