"""What goes wrong with machines, one at a time, under the real command on real hosts.

Each run ends with the student of one machine that nothing happened to, or with one sentence; it
never hangs past the limits here, and does no step again that was committed.
FAULTS_TABLE=FILE writes what happened as rows of docs/measurements/faults_netns_*.md.
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
# Where the fault comes: between two commits.
AT = 35
# Rank 0 tells of a step once the next one is under way, so one more may be done again.
MOST_REDONE = COMMIT_EVERY + 1

# What a run may take after the fault, on two cores that others use as well.
RESTART_S = 120.0
# The time until Ray believes that a silent node is dead, and a restart.
SILENT_S = 300.0


@contextmanager
def running(site, *nodes, workers="2", steps=STEPS, more=(), head_cpus=1):
    """A purification on these hosts that has done AT steps."""
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
    code, said, complained = watched.end(timeout_s)
    assert code == 0, complained
    assert "Traceback" not in complained
    # Ray's own pages stay in its log.
    assert "raylet" not in said
    assert watched.redone <= MOST_REDONE
    assert watched.record["status"] == "finished"
    check_equal(site.run("run"), undisturbed(STEPS, *CALM))
    workers = watched.record["workers"]
    what = f"finished with {workers} worker{'s' * (workers != 1)}, the student of one machine"
    note(fault, what, watched, time.monotonic() - began, STEPS)


def check_said(watched, timeout_s, fault, *words):
    """It stopped, with one sentence that has these words and the way out."""
    began = time.monotonic()
    code, _, complained = watched.end(timeout_s)
    assert code == 1
    assert "Traceback" not in complained
    sentence = " ".join(complained[complained.index("error: ") :].split())
    for word in (*words, "--resume"):
        assert word in sentence
    assert len(sentence) < 600, sentence
    note(fault, f'stopped: "{sentence}"', watched, time.monotonic() - began, STEPS)


def test_a_killed_worker_is_replaced(site, undisturbed):
    with running(site, "head", "node1") as (built, watched):
        faults.kill(built.network["node1"], "RayTrainWorker")
        check_finished(undisturbed, built, watched, RESTART_S, "SIGKILL of a worker")


def test_a_killed_worker_that_may_not_be_replaced_is_named(site):
    with running(site, "head", "node1", more=("--max-failures", "0")) as (built, watched):
        faults.kill(built.network["node1"], "RayTrainWorker")
        # Which of the two is noticed first: the dead worker, or the other that lost it.
        check_said(watched, RESTART_S, "SIGKILL of a worker, `--max-failures 0`", "died")


def test_a_killed_controller_is_replaced(site, undisturbed):
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


def test_a_run_that_waits_for_room_begins_when_its_last_host_has_joined(site, undisturbed):
    """Longer than Ray Train itself would try to start, so that the patience is ours."""
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


def test_a_host_that_falls_silent_for_good_is_given_up(site, undisturbed):
    with running(site, "head", "node1", workers="1-2") as (built, watched):
        with faults.cut(built.network, built.network["node1"]):
            check_finished(
                undisturbed, built, watched, SILENT_S, "one host silent for good, `--workers 1-2`"
            )
        assert watched.record["workers"] == 1


def test_a_worker_that_was_only_cut_off_writes_nothing_once_another_has_taken_over(site):
    """A single worker waits for nobody: it goes on, and the shared folder is there for it."""
    steps = 20_000
    nodes = ("head", "node1", "node2")
    with running(site, *nodes, workers="1", steps=steps, head_cpus=0) as (built, watched):
        ghost = next(
            built.network[name] for name in nodes if built.network[name].processes("RayTrainWorker")
        )
        other = next(built.network[name] for name in ("node1", "node2") if name != ghost.name)
        with faults.cut(built.network, ghost):
            time.sleep(5)
            waiting = built.committed("run")
            time.sleep(10)
            assert built.committed("run") == waiting, "a worker that cannot ask committed a step"
            faults.wait_for(lambda: other.processes("RayTrainWorker"), SILENT_S)
            faults.wait_for(lambda: built.committed("run") > waiting, RESTART_S)
        # Back again, it may ask, and is told that it is none any more.
        faults.kill(built.network["head"], "mimic_ray purify", number=signal.SIGINT)
        code, _, complained = watched.end(RESTART_S)
        assert code == 128 + signal.SIGINT, complained
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


def test_a_full_shared_disk_is_named_and_the_run_goes_on_once_there_is_room(site, undisturbed):
    with running(site, "head", "node1") as (built, watched):
        with faults.full_disk(built.network):
            check_said(watched, RESTART_S, "the shared disk is full", "No space left")
        go_on(built, undisturbed)


def test_a_shared_folder_that_is_read_only_is_named_and_the_run_goes_on(site, undisturbed):
    with running(site, "head", "node1") as (built, watched):
        with faults.read_only(built.network["head"], built.network["node1"]):
            check_said(watched, RESTART_S, "the shared folder is read-only", "Read-only")
        go_on(built, undisturbed)


def go_on(site, undisturbed):
    """The same command with --resume, as the sentence says."""
    options = ("--address", site.ray.address, "--workers", "2", "--cpus-per-worker", "1")
    words = site.purify("run", *options, *CALM, "--resume", steps=STEPS)
    done = site.on("head", *words, timeout_s=RESTART_S)
    assert done.returncode == 0, done.stderr
    check_equal(site.run("run"), undisturbed(STEPS, *CALM))


def test_ctrl_c_of_a_run_on_hosts_commits_and_frees_them(site, undisturbed):
    with running(site, "head", "node1") as (built, watched):
        faults.kill(built.network["head"], "mimic_ray purify", number=signal.SIGINT)
        code, _, complained = watched.end(RESTART_S)
        assert code == 128 + signal.SIGINT, complained
        go_on(built, undisturbed)
