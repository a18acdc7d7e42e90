"""Runs of one small case, each in a child of a process that imported torch already."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from safetensors.torch import load_file

from mimic_ray.base.errors import MimicError
from mimic_ray.store.checkpoint import latest
from mimic_ray.store.metrics_log import read_metrics
from mimic_ray.store.run_folder import RunFolder
from tests.cli.toy_images import save_checkpoint, save_images

STEPS, EVERY = 12, 4


class Runs:
    """Runs of one small case below `place`, each in a child of one process that imported torch."""

    def __init__(self, place: Path, server: subprocess.Popen[str]) -> None:
        self.place, self._server = place, server
        save_images(place / "images", 14, seed=0)
        save_checkpoint(place / "teacher.safetensors")

    def start(
        self,
        out: Path,
        *more: str,
        fails_at: int = 0,
        fault: int = 0,
        writer: str = "whole",
        **options: Any,
    ) -> int:
        """The process id of a run into `out`; the options are those of killed_runs.py."""
        asked = self._asked(out, *more)
        asked |= {"fails_at": fails_at, "fault": fault, "writer": writer, **options}
        self._send(asked)
        return int(self._server.stdout.readline())

    def _asked(self, out: Path, *more: str) -> dict[str, Any]:
        arguments = [
            *("purify", "--encoder", "tiny_resnet", "--local", "--threads", "1"),
            *("--teacher", str(self.place / "teacher.safetensors")),
            *("--data", str(self.place / "images"), "--out", str(out)),
            *("--set", f"training.steps={STEPS}", "--set", "training.batch=8"),
            *("--set", "training.precision=fp32", "--commit-every", str(EVERY), *more),
        ]
        return {"arguments": arguments, "root": str(out), "log": str(self.place / "log")}

    def _send(self, asked: dict[str, Any]) -> None:
        self._server.stdin.write(json.dumps(asked) + "\n")
        self._server.stdin.flush()

    def warm_up(self) -> SimpleNamespace:
        """How a run in the process that children are forked from ended."""
        self._send({"warm_up": True, **self._asked(self.place / "warm-up")})
        return self.end()

    def end(self) -> SimpleNamespace:
        """How the run that was started last ended."""
        return SimpleNamespace(**json.loads(self._server.stdout.readline()))

    def run(self, out: Path, *more: str, **options) -> SimpleNamespace:
        self.start(out, *more, **options)
        return self.end()

    def damage(self, out: Path, writer: str = "whole") -> str | None:
        """What is wrong with a killed run, or with what becomes of it; None if nothing is."""
        try:
            check_every_checkpoint(out)
        except MimicError as error:
            return str(error)
        resume = ["--resume"] if (out / "run.json").exists() else []
        ended = self.run(out, *resume, writer=writer)
        if ended.status != 0:
            return f"--resume ends with {ended.status}: {(self.place / 'log').read_text()}"
        if weights(out) != self.undisturbed:
            return "the weights are others"
        if leftovers := [path for path in out.rglob("*") if ".tmp-" in path.name]:
            return f"{leftovers[0]} is left"
        rows = [row["step"] for row in read_metrics(RunFolder.open(out))]
        return None if rows == [*range(1, STEPS + 1)] else f"metrics of the steps {rows}"


def weights(run: Path) -> dict[str, bytes]:
    tensors = load_file(run / "student.safetensors")
    return {key: tensor.numpy().tobytes() for key, tensor in tensors.items()}


def check_every_checkpoint(out: Path) -> None:
    """Each committed step, the newest first; raises where one cannot be read."""
    if not (out / "run.json").exists():
        return
    copy = out.with_name("copy")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(out, copy)
    folder = RunFolder.open(copy)
    latest(folder)  # a torn latest.json is damage, no mistake of this test
    pointer = folder.checkpoints / "latest.json"
    committed = json.loads(pointer.read_text())["steps"] if pointer.exists() else []
    for entry in committed:
        found = latest(folder)
        assert found is not None
        assert found.step == entry["step"]
        shutil.rmtree(folder.checkpoints / f"step-{found.step:06d}")


@contextmanager
def runs_below(place: Path) -> Iterator[Runs]:
    """With `calls`, `seconds` and `undisturbed`, the weights, of a run that is not disturbed."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.end_to_end.killed_runs"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1", "MIMIC_RAY_CACHE": str(place / "cache")},
    ) as server:
        found = Runs(place, server)
        assert found.warm_up().status == 0, (place / "log").read_text()
        started = time.monotonic()
        whole = found.run(place / "whole")
        assert whole.status == 0, (place / "log").read_text()
        found.calls, found.seconds = whole.calls, time.monotonic() - started
        found.undisturbed = weights(place / "whole")
        yield found
        server.stdin.close()
