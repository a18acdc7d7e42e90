"""A connection to a private Ray, in a separate process."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest

from mimic_ray.base import ray_version
from mimic_ray.base.errors import ResourceError, TrainingError
from mimic_ray.distributed import ray_session as ray_session_module
from mimic_ray.distributed.ray_session import ray_session

PROGRAM = """
import json, os, signal, sys, time
from pathlib import Path
from mimic_ray.base.signals import stop_requests
from mimic_ray.distributed import ray_private
from mimic_ray.distributed.ray_session import ray_session

def state():
    return [dict(os.environ), [repr(signal.getsignal(n)) for n in (2, 15)], os.fstat(1).st_ino]

found = {}
with stop_requests() as requests:
    before = state()
    with ray_session(None, Path(sys.argv[1]), cpus=1, variables={"MIMIC_TEST": "1"}):
        import ray
        from ray._private import worker

        found["inside"] = {k: os.environ.get(k) for k in ("MIMIC_TEST", "RAY_AUTH_MODE")}
        os.kill(os.getpid(), signal.SIGTERM)
        sent = time.monotonic()
        os.write(1, b"written to descriptor 1\\n")
        worker.print_worker_logs({"pid": 7, "lines": ["printed by Ray"]}, sys.stdout)

        @ray.remote
        class Actor:
            def die(self):
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            ray.get(Actor.remote().die.remote())
        except ray.exceptions.RayError as error:
            found["reason"] = ray_private.reason_of_death(error)
            found["address"] = ray_private.node_address(error)
            found["node"] = ray.util.get_node_ip_address()
        time.sleep(max(0, sent + 4 - time.monotonic()))  # Ray's core would abort after 3 s
        print("alive")
    found["unchanged"] = state() == before
    found["requests"] = requests.count
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """The output of the program, and Ray's log."""
    log = tmp_path_factory.mktemp("session") / "ray.log"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, log], capture_output=True, text=True, timeout=120
    )
    text = log.read_text() if log.exists() else ""
    assert done.returncode == 0, done.stderr + text
    return SimpleNamespace(stdout=done.stdout, log=text, **json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.slow
@pytest.mark.ray
def test_sigterm_is_still_handled_by_the_command(session):
    """Ray's handlers would exit immediately, or abort after 3 s."""
    assert session.stdout.startswith("alive\n")
    assert session.requests == 1
    assert "SIGTERM received" not in session.log


@pytest.mark.slow
@pytest.mark.ray
def test_variables_handlers_and_descriptors_are_restored(session):
    assert session.inside == {"MIMIC_TEST": "1", "RAY_AUTH_MODE": "disabled"}
    assert session.unchanged


@pytest.mark.slow
@pytest.mark.ray
def test_output_of_ray_goes_to_the_log_and_ours_to_the_terminal(session):
    assert "written to descriptor 1" in session.log
    assert "(7) printed by Ray" in session.log
    assert len(session.stdout.splitlines()) == 2


@pytest.mark.slow
@pytest.mark.ray
def test_a_killed_process_of_ray_is_recognised_with_its_node(session):
    assert session.reason.startswith("its process was killed")
    assert session.address == session.node


@pytest.fixture
def start(monkeypatch, tmp_path):
    """Starts a session whose `ray.init` raises `error`; returns the error that users see."""

    def started(error, address=None):
        calls = []

        def init(**options):
            calls.append(options)
            raise error

        monkeypatch.setattr("ray.init", init)
        monkeypatch.setattr(ray_session_module, "local_ray_options", dict)
        with pytest.raises(ResourceError) as caught, ray_session(address, tmp_path / "ray.log"):
            pass
        return caught.value.message, calls

    return started


@pytest.mark.parametrize(
    "error",
    [
        OSError("validate_socket_filename failed: AF_UNIX path length"),
        PermissionError(13, "Permission denied", "/tmp/ray"),
        FileNotFoundError(2, "No such file or directory", "/dev/shm"),
        Exception("Something else"),
    ],
)
def test_whatever_ray_raises_at_its_start_is_one_sentence_with_the_way_out(start, tmp_path, error):
    message, _ = start(error)
    assert message == (
        f"Could not start Ray on this machine: {error}. Ray's log is {tmp_path / 'ray.log'}. A "
        "purification by one worker runs without Ray."
    )


def test_a_machine_that_is_too_busy_is_called_so(start):
    message, _ = start(Exception("The current node timed out during startup. This could happen."))
    assert "it did not start within 180 s. The machine is busy (load " in message
    assert "run the command again when it is less so" in message


def test_a_cluster_that_accepts_connections_and_no_driver_is_named(start):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        message, calls = start(ConnectionError("Failed to connect to GCS"), address)
    assert f"The Ray cluster at {address} accepts connections, but not this command" in message
    assert calls[0]["address"] == address


def test_an_error_of_ray_in_a_session_is_one_sentence(monkeypatch, tmp_path):
    import ray

    monkeypatch.setattr("ray.init", lambda **_: None)
    monkeypatch.setattr(ray_session_module, "local_ray_options", dict)
    failed = pytest.raises(TrainingError, match=r"Ray's controller for this run died: .*ray\.log")
    with failed, ray_session(None, tmp_path / "ray.log"):
        raise ray.exceptions.ActorDiedError


def test_an_unsupported_ray_is_refused_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(ray_version, "SUPPORTED_RAY", ("1.0", "1.5"))
    refused = pytest.raises(ResourceError, match=r'"ray\[train,tune\]>=1.0,<1.5"')
    with refused, ray_session(None, tmp_path / "log"):
        pass
    assert not (tmp_path / "log").exists()
