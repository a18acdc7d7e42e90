"""Each item of ray_private.py works with the installed Ray. test_ray_session.py has the tests that
need a running Ray, tests/end_to_end/test_jobs.py those of the job server's responses."""

from __future__ import annotations

import inspect
import socket
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from mimic_ray.base.errors import DataError, ResourceError
from mimic_ray.distributed import ray_private
from mimic_ray.distributed.ray_private import job_error, job_submission_client, reason_of_death

ROOT = Path(__file__).parents[2]


def test_the_supported_range_is_the_one_of_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["cluster"]]
    lowest, limit = ray_private.SUPPORTED_RAY
    ranges = {text.partition("]")[2] for text in needed if text.startswith("ray[")}
    assert ranges == {f">={lowest},<{limit}"}


@pytest.mark.parametrize("version", ["2.60.0", "2.61.3"])
def test_a_supported_ray_is_accepted(monkeypatch, version):
    monkeypatch.setattr("importlib.metadata.version", lambda name: version)
    ray_private.check_ray_version()


@pytest.mark.parametrize("version", ["2.59.1", "2.62.0", "3.0.0"])
def test_an_unsupported_ray_is_refused_with_the_command_to_install_another(monkeypatch, version):
    monkeypatch.setattr("importlib.metadata.version", lambda name: version)
    with pytest.raises(ResourceError, match=rf"Ray {version} is installed.*pip install"):
        ray_private.check_ray_version()


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
    assert reason_of_death(failed) == "its node died or lost the network"
    assert ray_private.node_address(failed) == "10.0.0.7"


@pytest.mark.parametrize("error", [ValueError("7"), DataError("WorkerCrashed is in this text")])
def test_other_errors_are_not_dead_processes(error):
    assert reason_of_death(error) is None


@pytest.fixture
def server():
    """A job server that answers every route with `status` and `text`."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(served.status)
            self.end_headers()
            self.wfile.write(served.text.encode())

        def log_message(self, *_):
            pass

    served = HTTPServer(("127.0.0.1", 0), Answer)
    served.url = f"http://127.0.0.1:{served.server_port}"
    served.status, served.text = 200, '{"ray_version": "2.60.0", "version": "4"}'
    thread = threading.Thread(target=served.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield served
    served.shutdown()
    served.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (404, "Job x does not exist", "no such job"),
        (401, "Missing authentication token", "refused"),
        (403, "Invalid authentication token", "refused"),
        (500, "Job with submission_id x already exists.", "job exists"),
        (500, "disk full", ""),
    ],
)
def test_the_errors_of_rays_client_are_recognised(server, status, text, kind):
    client = job_submission_client(server.url, (5, 5))
    server.status, server.text = status, text
    with pytest.raises(Exception) as raised:
        client.get_job_info("x")
    assert job_error(raised.value) == kind


def test_a_server_that_is_not_a_job_server_is_recognised(server):
    server.status = 404
    with pytest.raises(RuntimeError) as raised:
        job_submission_client(server.url, (5, 5))
    assert job_error(raised.value) == "no job server"


def test_get_returns_the_json_of_another_route_or_none(server):
    client = job_submission_client(server.url, (5, 5))
    assert client.get(ray_private.NODES)["version"] == "4"
    server.status = 404
    assert client.get(ray_private.NODES) is None


def test_a_cluster_that_is_gone_is_found_behind_its_server(server):
    client = job_submission_client(server.url, (5, 5))
    assert client.cluster_answers()
    server.status = 503
    assert not client.cluster_answers()
    server.status = 404  # another release of Ray may not have the route
    assert client.cluster_answers()


def test_a_server_that_accepts_and_never_answers_times_out():
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(OSError) as raised:
        job_submission_client(f"http://127.0.0.1:{silent.getsockname()[1]}", (1, 0.1))
    assert job_error(raised.value) == "no answer"


def test_a_port_without_a_server_gives_no_answer():
    with pytest.raises(ConnectionError) as raised:
        job_submission_client("http://127.0.0.1:1", (1, 1))
    assert job_error(raised.value) == "no answer"


def test_a_ray_without_the_parts_for_jobs_is_recognised():
    from ray.dashboard.modules.job import sdk

    text = inspect.getsource(sdk)
    assert "ray[default]" in text
    assert job_error(RuntimeError("require the ray[default] installation")) == "not installed"
    assert job_error(ImportError("no aiohttp")) == "not installed"


def test_the_server_has_the_routes_and_texts_that_we_use():
    from ray.dashboard.modules import job, node, reporter, state

    def source(package, module):
        return (Path(package.__path__[0]) / module).read_text()

    assert '"/api/v0/nodes"' in source(state, "state_head.py")
    assert '"/nodes"' in source(node, "node_head.py")
    reporter_head = source(reporter, "reporter_head.py")
    assert f'"{ray_private.CLUSTER_HEALTH}"' in reporter_head
    assert f'"{ray_private.CLUSTER_STATUS}"' in reporter_head
    assert f'"{ray_private.CLUSTER_METADATA}"' in reporter_head
    assert "already exists" in source(job, "job_manager.py")


def test_the_raylet_is_started_with_the_interpreter_on_its_command_line():
    from ray._private import services

    assert ray_private._WORKER_COMMAND in inspect.getsource(services.start_raylet)
    words = ["raylet", f"{ray_private._WORKER_COMMAND}/env/bin/python worker.py"]
    head = {"raylet": {"isHeadNode": True}, "cmdline": words}
    worker = {"raylet": {"isHeadNode": False}, "cmdline": ["raylet"]}
    answer = {"data": {"summary": [worker, head]}}
    assert ray_private.head_interpreter(answer) == "/env/bin/python"
    assert ray_private.head_interpreter({"data": {"summary": [worker]}}) == ""


def test_only_a_cluster_with_described_nodes_has_an_autoscaler():
    from ray.autoscaler.v2 import utils

    assert 'f"node_{node_id}"' in inspect.getsource(utils)
    invented = "node_4e2fc6ac9c7c3e362a63b5966d5200f2479f75808f462be5b203dd9f"
    for types, expected in (({invented: 1}, False), ({"ray.head.default": 1}, True), ({}, True)):
        status = {"autoscalerReport": {"activeNodes": types, "failedNodes": []}}
        assert ray_private.has_autoscaler(status) == expected
    assert not ray_private.has_autoscaler({})
