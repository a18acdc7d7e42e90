"""News from rank 0 to the driver and the wish to stop the other way, through one small actor.

A report through Ray Train costs a poll of its controller; a call that nobody waits for costs
0.3 ms. What must not be lost is on disk already (metrics.jsonl, checkpoints).
"""

from __future__ import annotations

from collections import deque
from typing import Any

import ray


@ray.remote(num_cpus=0)
class Mailbox:
    """Holds the newest news (a Progress, or what a trial has to say) until the driver takes it."""

    def __init__(self) -> None:
        self._news: deque[Any] = deque(maxlen=64)
        self._stopping = False
        self._begun = False
        self._failure: Exception | None = None

    def begin(self) -> None:
        """Notes that a worker is there."""
        self._begun = True

    def give_up(self, failure: Exception) -> None:
        """Notes an error that another try would only repeat."""
        self._failure = failure

    def failure(self) -> Exception | None:
        return self._failure

    def post(self, news: Any) -> bool:
        """Leaves news; the answer says whether to stop."""
        self._news.append(news)
        return self._stopping

    def take(self) -> list[Any]:
        taken, self._news = list(self._news), deque(maxlen=64)
        return taken

    def ask_to_stop(self) -> bool:
        """Notes the wish; the answer says whether there is a worker that could hear of it."""
        self._stopping = True
        return self._begun

    def stopping(self) -> bool:
        return self._stopping


class WorkerEnd:
    """The worker's side: never waits for the actor."""

    def __init__(self, mailbox: Any) -> None:
        self._mailbox = mailbox
        self._answer: Any = None
        self._stopping = False

    def begin(self) -> None:
        """From now on a wish to stop finds somebody who hears it."""
        ray.get(self._mailbox.begin.remote())

    def give_up(self, failure: Exception) -> None:
        """Waits, since this process may be ended as soon as it raises."""
        ray.get(self._mailbox.give_up.remote(failure))

    def tell(self, news: Any) -> None:
        self._read_answer()
        if self._answer is None:
            self._answer = self._mailbox.post.remote(news)
        else:
            # The last answer is still under way: post without asking again.
            self._mailbox.post.remote(news)

    def stop(self) -> bool:
        self._read_answer()
        return self._stopping

    def _read_answer(self) -> None:
        if self._answer is not None and ray.wait([self._answer], timeout=0)[0]:
            self._stopping = self._stopping or ray.get(self._answer)
            self._answer = None
