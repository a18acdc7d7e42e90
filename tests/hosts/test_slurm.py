"""The batch script for Slurm with the real `ray start` on two hosts; only Slurm is a stand-in."""

import json
import os
import shutil
import signal
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from mimic_ray.cluster_files.slurm_script import SlurmSpec, render_slurm
from tests.hosts import slurm_daemon
from tests.hosts.conftest import CALM, COMMAND_S, Site, check_equal
from tests.hosts.network import SHARED, lan, why_not
from tests.hosts.ray_cluster import RayCluster
from tests.hosts.watched import Watched

pytestmark = [pytest.mark.slow, pytest.mark.ray]

STEPS = 200


@pytest.fixture
def slurm(case: Path):
    """Two hosts with Slurm's daemon and commands; starts the script of a purification."""
    if reason := why_not():
        pytest.skip(f"cannot build hosts: {reason}")

    with lan("head", "node1") as network, ExitStack() as daemons:
        shutil.copytree(case, network.shared / "case")
        shutil.copy(slurm_daemon.__file__, network.shared / "slurm_daemon.py")
        programs = network.shared / "bin"
        programs.mkdir()
        names = " ".join(network.hosts)
        bodies = {
            "srun": f'exec {sys.executable} {SHARED}/slurm_daemon.py srun "$@"',
            "scontrol": f"printf '%s\\n' {names}",
        }
        for name, body in bodies.items():
            (programs / name).write_text(f"#!/bin/sh\n{body}\n")
            (programs / name).chmod(0o755)
        for host in network.hosts.values():
            # After the host's own name, which means loopback.
            with (host.private / "hosts").open("a") as file:
                file.writelines(f"{each.address} {each.name}\n" for each in network.hosts.values())
            daemon = host.start([sys.executable, f"{SHARED}/slurm_daemon.py", "daemon"])
            daemons.enter_context(daemon)
            daemons.callback(daemon.kill)
        yield Site(network, RayCluster(network["head"], "", 1, {}))


@contextmanager
def job(site: Site, *, resume: bool = False):
    """The batch script of a purification on both hosts, as Slurm starts it on the first one."""
    words = (*site.purify("run", *CALM, steps=STEPS), "--workers", "2", "--cpus-per-worker", "1")
    spec = SlurmSpec(
        workers=2, gpus_per_node=1, cpus_per_gpu=1, token_file=f"{SHARED}/token", job=words
    )
    (site.network.shared / "job.sh").write_text(render_slurm(spec))
    head = site.network["head"]
    environment = {
        "PATH": f"{SHARED}/bin:{head.environment['PATH']}",
        "SLURM_HOSTS": json.dumps({h.name: h.address for h in site.network.hosts.values()}),
        "SLURM_JOB_NODELIST": "head,node1",
        "SLURM_JOB_NUM_NODES": str(len(site.network.hosts)),
        "SLURM_JOB_ID": "17",
        # Less than Ray's default of 30 % of the memory, which the hosts share.
        "RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES": str(128 << 20),
        **({"RESUME": "--resume"} if resume else {}),
    }
    with head.start(["bash", f"{SHARED}/job.sh"], environment=environment) as process:
        yield process
    check_nothing_is_left(site)


def check_nothing_is_left(site: Site) -> None:
    """Ray has ended on all hosts, so that the next job finds them free."""
    deadline = time.monotonic() + 60
    while left := [h.name for h in site.network.hosts.values() if h.processes("raylet")]:
        assert time.monotonic() < deadline, left
        time.sleep(0.5)


def test_the_script_runs_a_purification_on_all_nodes_of_a_job(slurm, undisturbed):
    with job(slurm) as process:
        _, stderr = process.communicate(timeout=COMMAND_S)
    assert process.returncode == 0, stderr
    record = json.loads((slurm.run("run") / "run.json").read_text())
    assert (record["status"], record["workers"]) == ("finished", 2)
    check_equal(slurm.run("run"), undisturbed(STEPS, *CALM))
    assert (slurm.network.shared / "token").stat().st_mode & 0o077 == 0


def test_a_job_at_its_time_limit_commits_and_the_next_one_continues(slurm, undisturbed):
    with job(slurm) as process:
        watched = Watched(slurm, "run", process)
        watched.until(20)
        # Slurm sends it to the shell of the script alone.
        os.kill(slurm.network["head"].processes("bash /mnt/job.sh")[0], signal.SIGTERM)
        code, _, stderr = watched.end(60)
    assert code == 143, stderr
    committed = slurm.committed("run")
    assert 20 <= committed < STEPS
    with job(slurm, resume=True) as process:
        _, stderr = process.communicate(timeout=COMMAND_S)
    assert process.returncode == 0, stderr
    check_equal(slurm.run("run"), undisturbed(STEPS, *CALM))
