"""CPU seconds, memory and time of `purify` in process and with Ray, on one worker.

python -m benchmarks.ray_overhead [--steps 60]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import torch

from benchmarks.object_storage import write_images
from mimic_ray.encoders.encoder_registry import build

_ENCODER = "cifar_resnet20"
_EVERY_S = 0.25


def watched(command: list[str]) -> dict[str, float]:
    """Runs a command; CPU seconds of all its processes, their largest memory (PSS) and number."""
    cpu: dict[int, float] = {}
    memory, processes, looks = 0, 0, 0
    start = time.monotonic()
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as child:
        while child.poll() is None:
            tree = _tree(child.pid)
            processes = max(processes, len(tree))
            cpu |= tree
            if looks % 4 == 0:  # it costs more than the rest
                memory = max(memory, sum(map(_pss, tree)))
            looks += 1
            time.sleep(_EVERY_S)
        if child.returncode:
            raise SystemExit(child.stderr.read()[-2000:] if child.stderr else "failed")
    seconds = time.monotonic() - start
    return {"CPU s": sum(cpu.values()), "GB": memory / 1e9, "wall s": seconds, "n": processes}


def _tree(root: int) -> dict[int, float]:
    """The process and all below it, with their CPU seconds."""
    parents, seconds = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):  # it has ended
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            pid = int(folder.name)
            parents[pid] = int(fields[1])
            seconds[pid] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    below = {root}
    while more := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= more
    return {pid: seconds[pid] for pid in below if pid in seconds}


def _pss(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return 1024 * int(line.split()[1])
    return 0


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--steps", type=int, default=60)
    arguments.add_argument("--images", type=int, default=600)
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as made:
        work = Path(made)
        write_images(work / "images", asked.images)
        torch.save(build(_ENCODER).net.state_dict(), work / "suspect.pth")
        print(f"{'':<12}{'CPU s':>8}{'GB':>8}{'wall s':>8}{'processes':>11}")
        for name, options in (("in process", ["--local"]), ("with Ray", ["--ray"])):
            command = [
                *(sys.executable, "-m", "mimic_ray", "purify", "--encoder", _ENCODER),
                *("--teacher", str(work / "suspect.pth"), "--data", str(work / "images")),
                *("--out", str(work / name.replace(" ", "-")), "--no-scan", *options),
                *("--set", f"training.steps={asked.steps}", "--set", "training.batch=64"),
            ]
            found = watched(command)
            print(
                f"{name:<12}{found['CPU s']:>8.1f}{found['GB']:>8.2f}{found['wall s']:>8.1f}"
                f"{found['n']:>11.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
