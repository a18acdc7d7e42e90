"""The batch script: settings, shellcheck, and a run of it with stand-ins for Slurm and Ray."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mimic_ray.base.errors import UsageError
from mimic_ray.cluster_files.slurm_script import SlurmSpec, render_slurm

JOB = ("tune", "--encoder", "vit_b16", "--data", "my shards", "--out", "it's")
# Each program writes its name and arguments to $CALLS. `srun` runs what follows its options.
STAND_INS = {
    "scontrol": "printf 'node1\\nnode2\\n'",
    "srun": 'while [ "${1#--}" != "$1" ]; do shift; done; exec "$@"',
    "hostname": "echo 127.0.1.1",
    "getent": "echo '127.0.0.1 STREAM node1'",
    "ray": 'case "$*" in *--head*) exec python3 "$LISTEN" "$*";; *) exec sleep 60;; esac',
    # It ends only after the other nodes were asked, which happens at the same time.
    "mimic-ray": 'trap "echo stopped >> $CALLS; exit 143" TERM; env | grep RAY_AUTH >> "$CALLS"; '
    'until grep -q -e "--exclude" "$CALLS"; do sleep 0.1; done; '
    'sleep "${RUNS_FOR:-0}" & wait $!; exit 3',
}
LISTEN = """
import socket, sys, time
port = int(sys.argv[1].split("--port=")[1].split()[0])
server = socket.create_server(("127.0.0.1", port))
time.sleep(60)
"""


def free_number() -> int:
    """A Slurm job number whose port is free."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return port - 20000 if 20000 <= port < 30000 else os.getpid() % 10000


@pytest.fixture
def start(tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, body in STAND_INS.items():
        note = f'echo "{name} $*" >> "$CALLS"'
        (programs / name).write_text(f"#!/bin/bash\n{note}\n{body}\n")
        (programs / name).chmod(0o755)
    (tmp_path / "listen.py").write_text(LISTEN)
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "CALLS": str(tmp_path / "calls"),
        "LISTEN": str(tmp_path / "listen.py"),
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_JOB_ID": str(free_number()),
    }

    def begin(spec: SlurmSpec, **more: str) -> subprocess.Popen:
        script = tmp_path / "job.sh"
        script.write_text(render_slurm(spec))
        return subprocess.Popen(["bash", str(script)], env={**environment, **more})

    return begin


def calls(folder: Path) -> str:
    path = folder / "calls"
    return path.read_text() if path.exists() else ""


def test_the_head_starts_first_then_the_others_and_the_command_gets_its_exit_code(start, tmp_path):
    with start(SlurmSpec(workers=8, job=JOB), RESUME="--resume") as job:
        assert job.wait(30) == 3
    made = calls(tmp_path)
    assert "--nodelist=node2 getent ahostsv4 node1" in made
    head = made.index("ray start --head --node-ip-address=127.0.0.1")
    others = made.index("--exclude=node1 ray start --address=127.0.0.1:")
    run = made.index("mimic-ray tune --encoder vit_b16 --data my shards --out it's --address 127.0")
    assert head < min(others, run)  # those two start at the same time
    assert "--num-gpus=4 --num-cpus=32" in made
    assert "--resume" in made[run:]
    token = tmp_path / ".ray/auth_token"
    assert f"RAY_AUTH_TOKEN_PATH={token}" in made
    assert "RAY_AUTH_MODE=token" in made
    assert len(token.read_text()) == 64
    assert token.stat().st_mode & 0o077 == 0


def test_a_signal_reaches_the_command_and_the_script_waits_for_it(start, tmp_path):
    with start(SlurmSpec(workers=8), RUNS_FOR="30") as job:
        for _ in range(200):
            if "RAY_AUTH" in calls(tmp_path):
                break
            time.sleep(0.05)
        job.send_signal(signal.SIGTERM)
        assert job.wait(20) == 143
    assert calls(tmp_path).endswith("stopped\n")


def test_a_head_that_does_not_start_is_a_sentence(start, tmp_path):
    (tmp_path / "bin" / "ray").write_text("#!/bin/bash\nexit 1\n")
    with start(SlurmSpec(workers=4), RAY_START_SECONDS="1") as job:
        assert job.wait(20) == 1
    assert "mimic-ray" not in calls(tmp_path)


def test_settings_become_directives():
    spec = SlurmSpec("a100", 16, 8, partition="gpu", account="lab", environment="~/my venv")
    script = render_slurm(spec)
    for line in (
        "#SBATCH --nodes=2",
        "#SBATCH --gpus-per-node=a100:8",
        "#SBATCH --cpus-per-task=64",
        "#SBATCH --partition=gpu",
        "#SBATCH --account=lab",
        "source \"$HOME\"/'my venv'/bin/activate",
    ):
        assert line in script.splitlines()
    assert "--partition" not in render_slurm(SlurmSpec(workers=1)).split("set -euo")[0][200:]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"workers": 6, "gpus_per_node": 4}, "must be a multiple of"),
        ({"workers": 0}, "must be at least 1"),
        ({"partition": "gpu; rm -rf"}, "must be a name"),
        ({"time": "soon"}, "a time as for sbatch"),
        ({"job": ("scan",)}, "does not use a Ray cluster"),
        ({"environment": "a\nb"}, "control character"),
    ],
)
def test_what_sbatch_would_refuse_is_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        SlurmSpec(**settings)


@pytest.mark.parametrize(
    "spec",
    [
        SlurmSpec(workers=1),
        SlurmSpec("h100", 64, 8, environment="~/venv", interface="ib0", job=JOB),
    ],
)
def test_shellcheck_finds_nothing(spec, tmp_path):
    shellcheck = Path(sys.executable).parent / "shellcheck"  # of the dev extra
    (tmp_path / "job.sh").write_text(render_slurm(spec))
    found = subprocess.run(
        [shellcheck, tmp_path / "job.sh"], capture_output=True, text=True, check=False
    )
    assert found.stdout == ""
