"""A run under test: waits for its steps, and counts those that were repeated."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.hosts.conftest import Site

# How long the run may take to reach a step before the test fails.
STEP_S = 180.0


@dataclass
class Watched:
    """A purification, observed from outside through the rows of its metrics."""

    site: Site
    out: str
    process: subprocess.Popen[str]
    rows: int = 0
    # Rows that were removed when workers restarted from the last checkpoint.
    repeated: int = 0
    longest_wait_s: float = 0.0
    _over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        threading.Thread(target=self._look, daemon=True).start()

    def until(self, step: int, timeout_s: float = STEP_S) -> None:
        """Waits until that step is in the metrics."""
        deadline = time.monotonic() + timeout_s
        while self.rows < step:
            if self.process.poll() is not None:
                raise AssertionError(f"It ended: {self.process.communicate()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"It hangs at step {self.rows}, before {step}.")
            time.sleep(0.02)

    def end(self, timeout_s: float) -> tuple[int, str, str]:
        """Exit code, stdout and stderr; fails if the run has not ended by then."""
        try:
            stdout, stderr = self.process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"It hangs at step {self.rows}.") from None
        finally:
            self._over.set()
        return self.process.returncode, stdout, stderr

    @property
    def record(self) -> dict[str, Any]:
        return json.loads((self.site.run(self.out) / "run.json").read_text())

    def _look(self) -> None:
        log: Path = self.site.run(self.out) / "metrics.jsonl"
        since = None
        while not self._over.is_set():
            try:
                rows = log.read_bytes().count(b"\n")
            except OSError:  # not written yet, or replaced by its final form
                rows = self.rows
            if rows != self.rows:
                now = time.monotonic()
                if since is not None:
                    self.longest_wait_s = max(self.longest_wait_s, now - since)
                since = now
                self.repeated += max(0, self.rows - rows)
                self.rows = rows
            time.sleep(0.02)


def note(fault: str, what: str, watched: Watched, seconds: float, steps: int) -> None:
    """A row of docs/measurements/faults_netns_*.md, where FAULTS_TABLE names a file for them."""
    if table := os.environ.get("FAULTS_TABLE"):
        cells = (
            fault,
            what,
            f"{seconds:.0f}",
            f"{watched.longest_wait_s:.0f}",
            f"{watched.repeated} of {steps}",
        )
        with Path(table).open("a") as file:
            file.write("| " + " | ".join(cells) + " |\n")
