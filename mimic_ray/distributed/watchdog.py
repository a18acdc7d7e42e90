"""Reports that the workers make no progress, and ends the run if that lasts too long.

A rank whose peer lost the network waits inside an all-reduce, where it can neither send nor receive
messages. Ray declares a lost node dead after a minute or two, and the all-reduce times out after
torch_process_group.TIMEOUT_S. The watchdog is for hangs that neither of the two detects.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from mimic_ray.base.errors import RESUME_ADVICE, TrainingError
from mimic_ray.base.progress import Progress, ProgressCallback

# Steps, and the phases before the first step, take seconds between messages.
WARN_AFTER_S = 60.0
# Longer than the timeout of the all-reduce, after which Ray restarts the workers itself.
END_AFTER_S = 1800.0


class Watchdog:
    """Measures the time since the last message. While it is too long, `on_progress` gets a Progress
    of the phase "silent", or "busy" where all workers are on this machine; when messages arrive
    again, it gets one with 0 s."""

    def __init__(
        self,
        on_progress: ProgressCallback,
        *,
        on_cluster: bool = True,
        end_after_s: float = END_AFTER_S,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_progress, self._now, self._end_after_s = on_progress, now, end_after_s
        self._on_cluster = on_cluster
        self._last_message, self._step = now(), 0
        self._reported_s = 0

    def note(self, progress: Progress) -> None:
        """A message arrived."""
        self._last_message = self._now()
        if progress.phase == "distil":
            self._step = progress.done
        if self._reported_s:
            self._report(0)

    def check(self) -> None:
        """Raises TrainingError if there was no message for longer than any step takes."""
        silent_s = self._now() - self._last_message
        if silent_s > self._end_after_s:
            reason = (
                "a node or the network hangs, or the cluster never had the capacity for them (see "
                "`ray status`)"
            )
            if not self._on_cluster:
                reason = "they hang, or this machine is too busy"
            raise TrainingError(
                f"The workers have sent nothing for {self._end_after_s / 60:.0f} minutes, since "
                f"step {self._step}: {reason}. {RESUME_ADVICE}"
            )
        # Once a second is enough for a display.
        if silent_s > WARN_AFTER_S and int(silent_s) > self._reported_s:
            self._report(int(silent_s))

    def _report(self, seconds: int) -> None:
        self._reported_s = seconds
        phase = "silent" if self._on_cluster else "busy"
        self._on_progress(Progress(phase, seconds, int(self._end_after_s)))
