"""CPU seconds, memory and time of `purify` in process and with Ray, on one worker.

python -m benchmarks.ray_overhead [--steps 60]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil
import torch

from benchmarks.object_storage import write_images
from mimic_ray.encoders.encoder_registry import build

_ENCODER = "cifar_resnet20"
_EVERY_S = 0.25


def watched(command: list[str]) -> dict[str, float]:
    """Runs a command; CPU seconds of all its processes, their largest memory (PSS) and number."""
    cpu: dict[int, float] = {}
    memory, processes, looks = 0.0, 0, 0
    start = time.monotonic()
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as child:
        own = psutil.Process(child.pid)
        while child.poll() is None:
            total = 0
            with suppress(psutil.Error):
                tree = [own, *own.children(recursive=True)]
                processes = max(processes, len(tree))
                for each in tree:
                    with suppress(psutil.Error):
                        times = each.cpu_times()
                        cpu[each.pid] = times.user + times.system
                        if looks % 4 == 0:  # it costs more than the rest
                            total += each.memory_full_info().pss
            memory = max(memory, total)
            looks += 1
            time.sleep(_EVERY_S)
        if child.returncode:
            raise SystemExit(child.stderr.read()[-2000:] if child.stderr else "failed")
    seconds = time.monotonic() - start
    return {"CPU s": sum(cpu.values()), "GB": memory / 1e9, "wall s": seconds, "n": processes}


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
