"""The head's machine dies during a command on another host."""

import time

import pytest

from tests.hosts.conftest import CALM, COMMAND_S, check_equal
from tests.hosts.network import SHARED
from tests.hosts.watched import Watched, note

pytestmark = [pytest.mark.slow, pytest.mark.ray]

STEPS = 200
# `logs --follow` waits 300 s for the head to come back.
FOLLOW_S = 400.0
# Ray's processes on the other hosts end 60 s after their head.
ORPHANS_S = 150.0
# Ray ends a driver without a message 60 s after its head.
RAY_ALONE_S = 60.0


def test_following_the_log_ends_with_an_error_and_a_new_cluster_resumes_the_run(site, undisturbed):
    with site("head", "node1") as built:
        words = built.purify("run", "--commit-every", "10", *CALM, steps=STEPS)
        sent = built.on("desk", *built.submitted("job", *words, workers="2", wait=False))
        assert sent.returncode == 0, sent.stderr
        following = built.network["desk"].start(
            built.command("logs", "job", "--follow", "--address", built.ray.jobs_url),
            environment=built.ray.environment,
        )
        watched = Watched(built, "run", following)
        watched.until(35)

        built.network["head"].kill()
        began = time.monotonic()
        code, _, stderr = watched.end(FOLLOW_S)
        assert code == 1
        assert "Traceback" not in stderr
        sentence = " ".join(stderr[stderr.index("error: ") :].split())
        assert built.ray.jobs_url in sentence
        assert "has not answered" in sentence
        seconds = time.monotonic() - began
        wait_until_gone(built.network["node1"])

        built.ray.head = built.network.add("head2")
        built.ray.start_head()
        built.ray.join(built.network["node1"])
        again = built.submitted("job", *words, "--resume", workers="2")
        done = built.on("desk", *again)
        assert done.returncode == 0, done.stderr
        check_equal(built.run("run"), undisturbed(STEPS, *CALM))
        note(
            "SIGKILL of the head's host during `logs --follow`",
            f'`logs` stopped: "{sentence}"; a new cluster with `--resume` gave the student of one '
            "machine",
            watched,
            seconds,
            STEPS,
        )


def wait_until_gone(host):
    """No process of the lost cluster still writes into the run."""
    deadline = time.monotonic() + ORPHANS_S
    while host.processes("RayTrainWorker") or host.processes("raylet"):
        assert time.monotonic() < deadline, f"still there: {host.processes('ray')}"
        time.sleep(1)


def test_a_run_whose_driver_is_on_another_host_stops_with_an_explanation(site):
    """Ray alone would end the driver after 60 s without a message."""
    with site("head", "node1") as built:
        options = ("--address", built.ray.address, "--workers", "2", "--cpus-per-worker", "1")
        words = built.purify("run", *options, "--commit-every", "10", *CALM, steps=STEPS)
        command = built.network["node1"].start(
            built.command(*words), environment=built.ray.environment
        )
        watched = Watched(built, "run", command)
        watched.until(35)
        built.network["head"].kill()
        began = time.monotonic()
        code, _, stderr = watched.end(120)
        assert code == 1, stderr
        sentence = " ".join(stderr[stderr.index("error: ") :].split())
        assert "The head of the cluster" in sentence
        assert watched.record["status"] == "failed"
        note(
            "SIGKILL of the head's host, driver elsewhere",
            f'stopped: "{sentence}"',
            watched,
            time.monotonic() - began,
            STEPS,
        )


def search(built, *more):
    """Starts a search on the cluster from node1; its progress is on stderr."""
    words = [
        *("tune", "--encoder", "tiny_resnet", "--teacher", f"{SHARED}/case/teacher.pth"),
        *("--data", f"{SHARED}/case/images", "--out", f"{SHARED}/study", "--threads", "1"),
        *("--trials", "3", "--held-out", "0.8", "--no-early-stopping", "--cpus-per-worker", "1"),
        *("--set", "training.steps=9000", "--set", "training.batch=8", "--set"),
        *("training.precision=fp32", "--address", built.ray.address, *more),
    ]
    environment = {**built.ray.environment, "MIMIC_RAY_PROGRESS_S": "2"}
    return built.network["node1"].start(built.command(*words), environment=environment)


def check_stopped(command):
    """It ended before Ray alone would have ended it, with an explanation."""
    began = time.monotonic()
    _, stderr = command.communicate(timeout=120)
    assert command.returncode == 1, stderr
    assert time.monotonic() - began < RAY_ALONE_S
    assert "Traceback" not in stderr
    assert "error: The head of the cluster" in " ".join(stderr.split())


def test_a_search_whose_driver_is_on_another_host_stops_with_an_explanation(site):
    with site("head", "node1") as built, search(built) as command:
        deadline = time.monotonic() + COMMAND_S
        while not list((built.network.shared / "study").rglob("metrics.jsonl")):
            assert command.poll() is None, command.communicate()
            assert time.monotonic() < deadline, "no trial has begun"
            time.sleep(0.5)
        built.network["head"].kill()
        check_stopped(command)


def test_a_search_that_waits_for_capacity_stops_with_an_explanation(site):
    more = ("--workers", "3", "--wait-for-capacity", "300")
    with site("head", "node1") as built, search(built, *more) as command:
        for line in command.stderr:
            if "Waiting for nodes" in line:
                break
        assert command.poll() is None
        built.network["head"].kill()
        check_stopped(command)
