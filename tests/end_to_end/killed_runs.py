"""For each line on stdin: `mimic-ray` with these arguments in a child that may be made to die.

    {"arguments": [...], "root": RUN, "fails_at": 17, "fault": 0, "writer": "whole", "log": FILE}

fails_at: the operation below root at which the disk has the fault, an errno, or at which the child
is killed where that is 0, or is filled, a tmpfs, where it is -1. The writer "in_place" stands for
what the commit protocol replaces.
"signal": [15, "commit", 1] has the child get that signal in that phase, so many times, and "deaf"
that no one reads its stdout. Answers, a line each: the child's process id, then {"status": ...,
"calls": ...} when it has ended, calls only if it was not killed.

A process of its own, since importing torch takes longer than a run and forked children get it for
nothing. With {"warm_up": true, ...} the command runs in this process, so that children need not
import and set up again what it used: a run in a child then takes a third of the time.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mimic_ray.cli.app import main
from mimic_ray.execution import preparation
from mimic_ray.store import run_store, state_file
from mimic_ray.store.metrics_log import MetricsLog
from mimic_ray.store.run_folder import RunFolder
from mimic_ray.workflows import finish_run
from tests.store.commit_forever import commit_in_place
from tests.store.faulty_disk import FaultyDisk
from tests.store.small_disk import fill


def fail(number: int, root: Path) -> None:
    if number == -1:
        fill(root.parent)
        return
    if number == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    raise OSError(number, os.strerror(number))


def signal_in(patch: pytest.MonkeyPatch, number: int, phase: str, times: int) -> None:
    """Has this process signalled when it first comes to the phase, a step not before the fifth."""
    place, name = {
        "folder": (RunFolder, "create"),
        "profile": (preparation, "profile_images"),
        "step": (MetricsLog, "append"),
        "commit": (state_file, "write_tensors"),
        "result": (finish_run, "export"),
    }[phase]
    before = getattr(place, name)
    left = iter(range(5 if phase == "step" else 1, 0, -1))

    def signalled(*args: Any, **options: Any) -> Any:
        if next(left, 0) == 1:
            for left_over in range(times, 0, -1):
                os.kill(os.getpid(), number)
                if left_over > 1:  # two that are pending at once would count as one
                    time.sleep(0.2)
        return before(*args, **options)

    patch.setattr(place, name, signalled)


def live(asked: dict, answer: int) -> None:
    """The child: runs the command and never returns."""
    os.setsid()
    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    patch = pytest.MonkeyPatch()
    if asked["writer"] == "in_place":
        patch.setattr(run_store, "commit", commit_in_place)
    disk = FaultyDisk(
        patch,
        lambda call: call == asked["fails_at"],
        lambda: fail(asked["fault"], Path(asked["root"])),
        Path(asked["root"]),
        # Written by the clock, so that the others would have another number each time.
        ignored="progress.json",
        tears=asked["fault"] != -1,
    )
    if "signal" in asked:
        signal_in(patch, *asked["signal"])
    if asked.get("deaf"):
        read, write = os.pipe()
        os.close(read)
        os.dup2(write, 1)
    code = 70
    try:
        main(asked["arguments"])
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        os.write(answer, str(disk.calls).encode())
        sys.stdout.flush()
        os._exit(code)


def warm_up(asked: dict) -> int:
    """Runs the command here and returns its status."""
    ours = os.dup(1), os.dup(2)
    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        main(asked["arguments"])
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.stdout.flush()
        for number, descriptor in enumerate(ours, start=1):
            os.dup2(descriptor, number)
    return 0


if __name__ == "__main__":
    for line in sys.stdin:
        if json.loads(line).get("warm_up"):
            print(json.dumps({"status": warm_up(json.loads(line))}), flush=True)
            continue
        hear, answer = os.pipe()
        child = os.fork()
        if child == 0:
            live(json.loads(line), answer)
        os.close(answer)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        calls = int(os.read(hear, 20) or 0)
        os.close(hear)
        print(json.dumps({"status": os.waitstatus_to_exitcode(status), "calls": calls}), flush=True)
