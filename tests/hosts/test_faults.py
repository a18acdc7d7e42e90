"""Faults of machines, one at a time, during the real command on separate hosts.

Each run ends with the student of an undisturbed run on one machine, or with one sentence. It never
hangs longer than the limits here, and repeats no step that was committed.
FAULTS_TABLE=FILE writes the results as rows of docs/measurements/faults_netns_*.md.
"""

import signal
import time
from contextlib import contextmanager

import pytest

from mimic_ray.store.metrics_log import read_metrics
from mimic_ray.store.run_folder import RunFolder
from tests.hosts import faults
from tests.hosts.conftest import CALM, check_equal
from tests.hosts.watched import Watched, note

pytestmark = [pytest.mark.slow, pytest.mark.ray]

STEPS = 200
COMMIT_EVERY = 10
# The step at which the fault occurs: between two checkpoints.
AT = 35
# Rank 0 reports a step during the next one, so one more may be repeated.
MOST_REPEATED = COMMIT_EVERY + 1

# How long a run may take after the fault, on two cores that are also used otherwise.
RESTART_S = 120.0
# The time until Ray declares a silent node dead, and a restart.
SILENT_S = 300.0


@contextmanager
def running(site, *nodes, workers="2", steps=STEPS, more=(), head_cpus=1):
    """A purification on these hosts after AT steps."""
    with site(*nodes, head_cpus=head_cpus) as built:
        words = built.purify(
            "run",
            *("--address", built.ray.address, "--workers", workers, "--cpus-per-worker", "1"),
            *("--commit-every", str(COMMIT_EVERY), *CALM, *more),
            steps=steps,
        )
        command = built.network["head"].start(
            built.command(*words), environment=built.ray.environment
        )
        watched = Watched(built, "run", command)
        watched.until(AT)
        yield built, watched


def check_finished(undisturbed, site, watched, timeout_s, fault):
    began = time.monotonic()
    code, stdout, stderr = watched.end(timeout_s)
    assert code == 0, stderr
    assert "Traceback" not in stderr
    # Ray's own output stays in its log.
    assert "raylet" not in stdout
    assert watched.repeated <= MOST_REPEATED
    assert watched.record["status"] == "finished"
    check_equal(site.run("run"), undisturbed(STEPS, *CALM))
    workers = watched.record["workers"]
    what = f"finished with {workers} worker{'s' * (workers != 1)}, the student of one machine"
    note(fault, what, watched, time.monotonic() - began, STEPS)


def check_stopped(watched, timeout_s, fault, *words):
    """It stopped, with one sentence that contains these words and the advice."""
    began = time.monotonic()
    code, _, stderr = watched.end(timeout_s)
    assert code == 1
    assert "Traceback" not in stderr
    sentence = " ".join(stderr[stderr.index("error: ") :].split())
    for word in (*words, "--resume"):
        assert word in sentence
    assert len(sentence) < 600, sentence
    note(fault, f'stopped: "{sentence}"', watched, time.monotonic() - began, STEPS)


def test_a_killed_worker_is_restarted(site, undisturbed):
    with running(site, "head", "node1") as (built, watched):
        faults.kill(built.network["node1"], "RayTrainWorker")
        check_finished(undisturbed, built, watched, RESTART_S, "SIGKILL of a worker")


def test_a_killed_worker_without_restarts_is_named(site):
    with running(site, "head", "node1", more=("--max-failures", "0")) as (built, watched):
        faults.kill(built.network["node1"], "RayTrainWorker")
        # Either the dead worker or the peer that lost it is noticed first.
        check_stopped(watched, RESTART_S, "SIGKILL of a worker, `--max-failures 0`", "died")


def test_a_killed_controller_is_restarted(site, undisturbed):
    with running(site, "head", "node1") as (built, watched):
        faults.kill(built.network["head"], "TrainController")
        check_finished(undisturbed, built, watched, RESTART_S, "SIGKILL of the controller")


def test_a_host_that_dies_shrinks_an_elastic_run(site, undisturbed):
    with running(site, "head", "node1", workers="1-2") as (built, watched):
        built.network["node1"].kill()
        check_finished(
            undisturbed, built, watched, SILENT_S, "SIGKILL of a whole host, `--workers 1-2`"
        )
        assert watched.record["workers"] == 1


def test_a_host_that_joins_grows_an_elastic_run(site, undisturbed):
    with running(site, "head", "node1", workers="1-3") as (built, watched):
        # Ray looks for new hosts once a minute: on a network without delay the run would be over.
        with faults.slow(built.network, built.network["node1"], delay_s=0.03, loss=0.0):
            new = built.network.add("node2")
            built.ray.join(new)
            faults.wait_for(lambda: new.processes("RayTrainWorker"), SILENT_S)
        check_finished(undisturbed, built, watched, RESTART_S, "a host joins, `--workers 1-3`")
        assert watched.record["workers"] == 3


def test_a_run_that_waits_for_capacity_starts_when_its_last_host_has_joined(site, undisturbed):
    """It waits longer than Ray Train itself would."""
    with site("head") as built:
        words = built.purify(
            "run",
            *("--address", built.ray.address, "--workers", "2", "--cpus-per-worker", "1"),
            *("--wait-for-capacity", "600", *CALM),
            steps=STEPS,
        )
        command = built.network["head"].start(
            built.command(*words), environment=built.ray.environment
        )
        watched = Watched(built, "run", command)
        time.sleep(90)
        assert read_metrics(RunFolder(built.run("run"))) == []
        built.ray.join(built.network.add("node1"))
        watched.until(AT)
        check_finished(
            undisturbed, built, watched, RESTART_S, "a host comes 90 s late, `--wait-for-capacity`"
        )
        assert watched.record["workers"] == 2


def test_a_network_that_is_cut_for_20_s_costs_no_result(site, undisturbed):
    with running(site, "head", "node1") as (built, watched):
        with faults.cut(built.network, built.network["node1"]):
            time.sleep(20)
        check_finished(undisturbed, built, watched, SILENT_S, "one host's network cut for 20 s")


def test_a_host_that_stays_silent_is_given_up(site, undisturbed):
    with running(site, "head", "node1", workers="1-2") as (built, watched):
        with faults.cut(built.network, built.network["node1"]):
            check_finished(
                undisturbed, built, watched, SILENT_S, "one host silent for good, `--workers 1-2`"
            )
        assert watched.record["workers"] == 1


def test_a_stale_worker_writes_nothing_after_another_has_taken_over(site):
    """A single worker has no peers to wait for: it continues, and still sees the shared folder."""
    steps = 20_000
    nodes = ("head", "node1", "node2")
    with running(site, *nodes, workers="1", steps=steps, head_cpus=0) as (built, watched):
        stale = next(
            built.network[name] for name in nodes if built.network[name].processes("RayTrainWorker")
        )
        other = next(built.network[name] for name in ("node1", "node2") if name != stale.name)
        with faults.cut(built.network, stale):
            time.sleep(5)
            before = built.committed("run")
            time.sleep(10)
            assert built.committed("run") == before, "a worker that is cut off committed"
            faults.wait_for(lambda: other.processes("RayTrainWorker"), SILENT_S)
            faults.wait_for(lambda: built.committed("run") > before, RESTART_S)
        # With the network back, it learns that it was replaced.
        faults.kill(built.network["head"], "mimic_ray purify", number=signal.SIGINT)
        code, _, stderr = watched.end(RESTART_S)
        assert code == 128 + signal.SIGINT, stderr
        assert [row["step"] for row in read_metrics(RunFolder(built.run("run")))] == list(
            range(1, built.committed("run") + 1)
        )


def test_a_slow_and_lossy_network_only_costs_time(site, undisturbed):
    with running(site, "head", "node1") as (built, watched):
        with faults.slow(built.network, built.network["node1"], delay_s=0.1, loss=0.02):
            watched.until(AT + 8)
        check_finished(
            undisturbed, built, watched, SILENT_S, "100 ms delay and 2 % loss for 8 steps"
        )


def test_a_full_shared_disk_is_named_and_the_run_continues_once_there_is_space(site, undisturbed):
    with running(site, "head", "node1") as (built, watched):
        with faults.full_disk(built.network):
            check_stopped(watched, RESTART_S, "the shared disk is full", "No space left")
        resume(built, undisturbed)


def test_a_read_only_shared_folder_is_named_and_the_run_continues(site, undisturbed):
    with running(site, "head", "node1") as (built, watched):
        with faults.read_only(built.network["head"], built.network["node1"]):
            check_stopped(watched, RESTART_S, "the shared folder is read-only", "Read-only")
        resume(built, undisturbed)


def resume(site, undisturbed):
    """The same command with --resume, as the error advises."""
    options = ("--address", site.ray.address, "--workers", "2", "--cpus-per-worker", "1")
    words = site.purify("run", *options, *CALM, "--resume", steps=STEPS)
    done = site.on("head", *words, timeout_s=RESTART_S)
    assert done.returncode == 0, done.stderr
    check_equal(site.run("run"), undisturbed(STEPS, *CALM))


def test_ctrl_c_of_a_run_on_hosts_commits_and_frees_them(site, undisturbed):
    with running(site, "head", "node1") as (built, watched):
        faults.kill(built.network["head"], "mimic_ray purify", number=signal.SIGINT)
        code, _, stderr = watched.end(RESTART_S)
        assert code == 128 + signal.SIGINT, stderr
        resume(built, undisturbed)
