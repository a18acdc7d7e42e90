"""The connection to Ray, in a process of its own."""

import subprocess
import sys

PROGRAM = """
import os, signal, sys, time
from pathlib import Path
from mimic_ray.base.signals import stop_requests
from mimic_ray.distributed.ray_session import ray_session

with stop_requests() as requests:
    with ray_session(None, Path(sys.argv[1]), cpus=1):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(4)
        print("alive", requests.count)
"""


def test_sigterm_stays_a_wish_that_the_work_looks_at(tmp_path):
    """Ray's own handlers would exit at once, or abort after 3 s."""
    log = tmp_path / "ray.log"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, log], capture_output=True, text=True, timeout=120
    )
    text = log.read_text() if log.exists() else ""
    assert (done.returncode, done.stdout) == (0, "alive 1\n"), done.stderr + text
    assert "SIGTERM received" not in text
