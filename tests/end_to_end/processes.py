"""Commands as processes, and what they start: for tests that interrupt and kill."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

Answer = TypeVar("Answer")


def start(mark: str, arguments: list[str]) -> subprocess.Popen[str]:
    """The command in a process group of its own, as from a shell; `mark` finds its children."""
    return subprocess.Popen(
        [sys.executable, "-m", "mimic_ray", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "MIMIC_RAY_TEST": mark},
    )


def started_by(mark: str) -> dict[int, str]:
    """pid -> command line of living processes whose environment holds `mark`; children inherit it.

    Other Rays may run on this machine: only what our own command started counts.
    """
    wanted, found = f"MIMIC_RAY_TEST={mark}".encode(), {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # gone meanwhile, or not ours to read
            if wanted in (process / "environ").read_bytes().split(b"\0"):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found[int(process.name)] = command
    return found


def wait_until(
    what: Callable[[], Answer], process: subprocess.Popen[str], timeout_s: float = 240
) -> Answer:
    """The first answer of `what()` that is true; fails when the process ends before."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError):
            if answer := what():
                return answer
        time.sleep(0.01)
    process.kill()
    raise AssertionError(f"it never happened: {process.communicate()}")


def wait_for_step(run: Path, step: int, process: subprocess.Popen[str]) -> None:
    """Returns when the metrics of the run have a row of that step."""
    log = run / "metrics.jsonl"
    wait_until(lambda: len(log.read_text().splitlines()) >= step, process)


def without_trial_note(stderr: str) -> str:
    """What a command said beside the notes that so few images and steps purify little, that so
    few images are no search for openings, and that a busy machine gave it no time."""
    size = r"\d+ images and \d+ steps of \d+ purify (little|next to nothing): "
    few = rf"{size}|The student was not trained on "
    busy = r"No step for \d+ s: this machine may be busy\.\n|Steps continue\.\n"
    return re.sub(rf"note: ({few}).*\n|{busy}", "", stderr)
