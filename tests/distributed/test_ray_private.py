"""Each item of ray_private.py works with the installed Ray. test_ray_session.py has the tests that
need a running Ray."""

from __future__ import annotations

import inspect
import logging
import os
import signal
from pathlib import Path

import pytest

from mimic_ray.base.errors import DataError
from mimic_ray.distributed import ray_private
from mimic_ray.distributed.ray_private import reason_of_death


def test_ray_reads_every_variable():
    import ray

    package = Path(ray.__file__).parent
    folders = ("_private", "_common", "train", "tune")
    source = "".join(
        path.read_text(errors="replace")
        for folder in folders
        for path in (package / folder).rglob("*.py")
    )
    names = [
        *ray_private.SESSION_VARIABLES,
        *ray_private.SEARCH_VARIABLES,
        ray_private.START_TIMEOUT_VARIABLE,
        *("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"),
    ]
    assert [name for name in names if name not in source] == []


@pytest.mark.parametrize(
    ("address", "variables", "mode"),
    [
        (None, {}, "disabled"),
        (None, {"RAY_AUTH_TOKEN": "t"}, "disabled"),
        ("10.0.0.1:6379", {"RAY_AUTH_TOKEN_PATH": "/t"}, "token"),
        ("10.0.0.1:6379", {}, None),
    ],
)
def test_a_token_is_only_sent_to_a_cluster(monkeypatch, address, variables, mode):
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert ray_private.authentication_variables(address).get("RAY_AUTH_MODE") == mode


def test_the_handler_that_ray_sets_has_no_effect():
    from ray._private import utils, worker

    assert "set_sigterm_handler(" in inspect.getsource(worker)
    before = signal.getsignal(signal.SIGTERM)
    with ray_private.kept_signal_handlers():
        utils.set_sigterm_handler(lambda *_: None)
        assert signal.getsignal(signal.SIGTERM) is before
    utils.set_sigterm_handler(lambda *_: None)
    assert signal.getsignal(signal.SIGTERM) is not before, "this is what Ray would do"
    signal.signal(signal.SIGTERM, before)


def test_what_a_child_process_would_inherit_goes_to_the_log(tmp_path):
    log, before = tmp_path / "logs" / "ray.log", (os.fstat(1), os.fstat(2))
    with ray_private.descriptors_to(log):
        os.write(1, b"of the raylet, ")
        os.write(2, b"and its errors")
    assert log.read_text() == "of the raylet, and its errors"
    assert os.path.samestat(os.fstat(1), before[0])
    assert os.path.samestat(os.fstat(2), before[1])


def test_rays_logger_and_the_lines_of_nodes_go_to_the_log(tmp_path):
    from ray._private import worker

    logger, print_lines = logging.getLogger("ray"), worker.print_worker_logs
    handlers = logger.handlers
    with ray_private.ray_logs_to(tmp_path / "ray.log"):
        worker.print_worker_logs({"pid": 7, "lines": ["a node died"]}, None)
        logging.getLogger("ray.tune").error("a trial was killed")
    assert (tmp_path / "ray.log").read_text() == "(7) a node died\na trial was killed\n"
    assert worker.print_worker_logs is print_lines
    assert logger.handlers is handlers


def test_ray_prints_the_lines_of_nodes_with_the_function_that_we_replace():
    from ray._private import worker

    assert "print_worker_logs(" in inspect.getsource(worker.print_to_stdstream)


def test_train_starts_the_process_group_with_the_method_that_we_override():
    parameters = list(inspect.signature(ray_private.torch_backend().on_start).parameters)
    assert parameters[:3] == ["self", "worker_group", "backend_config"]
    from ray.train.v2._internal.execution.worker_group.worker_group import WorkerGroup

    assert {"execute", "abort"} <= set(dir(WorkerGroup))


def test_train_retries_the_error_of_failed_start():
    from ray.train.v2._internal.execution.failure_handling import default

    group = type("Group", (), {"aborted": False, "abort": lambda self: setattr(self, "aborted", 1)})
    started = group()
    error = ray_private.failed_start(started, "no connection")
    assert started.aborted
    assert type(error) in default.RETRYABLE_CONTROLLER_ERRORS
    assert str(error) == "no connection"


def test_ray_lists_the_nodes_that_drain_by_their_id(monkeypatch):
    from ray._private import state
    from ray._raylet import GlobalStateAccessor

    assert hasattr(GlobalStateAccessor, "get_draining_nodes")
    accessor = type("Accessor", (), {"get_draining_nodes": lambda _: {"ab12": 1_700_000_000_000}})
    monkeypatch.setattr(state.state, "_connect_and_get_accessor", accessor)
    assert ray_private.draining_nodes() == {"ab12"}


def test_a_start_that_timed_out_is_recognised():
    from ray.train.v2._internal.exceptions import WorkerGroupStartupTimeoutError

    assert ray_private.start_timed_out(WorkerGroupStartupTimeoutError(2))
    assert not ray_private.start_timed_out(None)


def test_a_dead_worker_is_found_inside_the_health_check():
    from ray.exceptions import ActorDiedError, ActorDiedErrorContext
    from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

    context = ActorDiedErrorContext(
        actor_id=bytes(16),
        error_message="The actor died because its node has died.",
        node_ip_address="10.0.0.7",
    )
    failed = WorkerHealthCheckFailedError("A worker check failed.", ActorDiedError(context))
    assert reason_of_death(failed) == "Ray on its node ended or cannot be reached"
    assert ray_private.node_address(failed) == "10.0.0.7"


@pytest.mark.parametrize("error", [ValueError("7"), DataError("WorkerCrashed is in this text")])
def test_other_errors_are_not_dead_processes(error):
    assert reason_of_death(error) is None
