"""No news from the workers: said early, and ended when it lasts too long.

A rank whose peer fell silent waits inside an all-reduce, where it can neither tell nor be told
anything. Ray declares a silent node dead after a minute or two, the all-reduce itself ends after
torch_config.TIMEOUT_S, and what neither of the two sees ends here.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from mimic_ray.base.errors import TrainingError
from mimic_ray.base.progress import Progress, ProgressCallback

# A step takes seconds, and so does each piece of news of what comes before the first.
WARN_AFTER_S = 60.0
# More than the all-reduce's limit, after which Ray restarts the workers by itself.
END_AFTER_S = 1800.0


class Silence:
    """How long the workers have not been heard; `tell` gets a Progress of the phase "silent"."""

    def __init__(
        self,
        on_progress: ProgressCallback,
        *,
        end_after_s: float = END_AFTER_S,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_progress, self._now, self._end_after_s = on_progress, now, end_after_s
        self._last_news, self._step = now(), 0
        self._told_s = 0

    def heard(self, news: Progress) -> None:
        self._last_news = self._now()
        if news.phase == "distil":
            self._step = news.done
        if self._told_s:
            self._told_s = 0
            self._on_progress(Progress("silent", 0, int(self._end_after_s)))

    def check(self) -> None:
        """Raises TrainingError when the silence is longer than any step."""
        silent_s = self._now() - self._last_news
        if silent_s > self._end_after_s:
            minutes = f"{self._end_after_s / 60:.0f} minutes"
            raise TrainingError(
                f"Nothing was heard from the workers for {minutes}, since step {self._step}: a "
                "node or the network is stuck, or the cluster never had room for them (see `ray "
                "status`). What was committed is whole: run the same command with --resume."
            )
        # Once a second is enough for whoever shows it.
        if silent_s > WARN_AFTER_S and int(silent_s) > self._told_s:
            self._told_s = int(silent_s)
            self._on_progress(Progress("silent", self._told_s, int(self._end_after_s)))
