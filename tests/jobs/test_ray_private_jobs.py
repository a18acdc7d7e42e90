"""Each item of ray_private_jobs.py works with the installed Ray. tests/end_to_end/test_jobs.py has
the tests of the job server's responses."""

from __future__ import annotations

import inspect
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from mimic_ray.jobs import ray_private_jobs
from mimic_ray.jobs.ray_private_jobs import job_error, job_submission_client


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
    assert client.get(ray_private_jobs.NODES)["version"] == "4"
    server.status = 404
    assert client.get(ray_private_jobs.NODES) is None


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
    assert f'"{ray_private_jobs.CLUSTER_HEALTH}"' in reporter_head
    assert f'"{ray_private_jobs.CLUSTER_STATUS}"' in reporter_head
    assert f'"{ray_private_jobs.CLUSTER_METADATA}"' in reporter_head
    assert "already exists" in source(job, "job_manager.py")


def test_the_raylet_is_started_with_the_interpreter_on_its_command_line():
    from ray._private import services

    assert ray_private_jobs._WORKER_COMMAND in inspect.getsource(services.start_raylet)
    words = ["raylet", f"{ray_private_jobs._WORKER_COMMAND}/env/bin/python worker.py"]
    head = {"raylet": {"isHeadNode": True}, "cmdline": words}
    worker = {"raylet": {"isHeadNode": False}, "cmdline": ["raylet"]}
    answer = {"data": {"summary": [worker, head]}}
    assert ray_private_jobs.head_interpreter(answer) == "/env/bin/python"
    assert ray_private_jobs.head_interpreter({"data": {"summary": [worker]}}) == ""


def test_only_a_cluster_with_described_nodes_has_an_autoscaler():
    from ray.autoscaler.v2 import utils

    assert 'f"node_{node_id}"' in inspect.getsource(utils)
    invented = "node_4e2fc6ac9c7c3e362a63b5966d5200f2479f75808f462be5b203dd9f"
    for types, expected in (({invented: 1}, False), ({"ray.head.default": 1}, True), ({}, True)):
        status = {"autoscalerReport": {"activeNodes": types, "failedNodes": []}}
        assert ray_private_jobs.has_autoscaler(status) == expected
    assert not ray_private_jobs.has_autoscaler({})
