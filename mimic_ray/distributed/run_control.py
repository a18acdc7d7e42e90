"""News from rank 0 to the driver and the wish to stop the other way, through one small actor.

A report through Ray Train costs a poll of its controller; a call that nobody waits for costs
0.3 ms. What must not be lost is on disk already (metrics.jsonl, checkpoints).
"""

from __future__ import annotations

from collections import deque
from typing import Any

import ray

from mimic_ray.base.errors import TrainingError


@ray.remote(num_cpus=0)
class Mailbox:
    """Holds the newest news (a Progress, or what a trial has to say) until the driver takes it."""

    def __init__(self) -> None:
        self._news: deque[Any] = deque(maxlen=64)
        self._stopping = False
        self._groups = 0
        self._failure: Exception | None = None

    def begin(self) -> int:
        """Notes that a rank 0 is there; the answer is which of them, counted from 1."""
        self._groups += 1
        return self._groups

    def may_commit(self, group: int) -> bool:
        """Whether no later rank 0 has begun: an earlier one is a ghost on a host that was cut off,
        and what it wrote now would undo what came after it."""
        return group == self._groups

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
        return self._groups > 0

    def stopping(self) -> bool:
        return self._stopping


def new_mailbox() -> Any:
    """On the driver's own node: no cut cable and no dead host comes between the two."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return Mailbox.options(scheduling_strategy=here).remote()  # type: ignore[attr-defined]


class WorkerEnd:
    """The worker's side: waits for the actor where it must, and never in a step."""

    def __init__(self, mailbox: Any) -> None:
        self._mailbox = mailbox
        self._group = 0
        self._answer: Any = None
        self._stopping = False

    def begin(self) -> None:
        """For rank 0: from now on a wish to stop finds somebody who hears it."""
        self._group = ray.get(self._mailbox.begin.remote())

    def before_commit(self) -> None:
        """Waits for the driver's word that this group is still the one that trains.

        Raises TrainingError if it is not. Who cannot ask, cut off from the driver, must not write.
        """
        if not ray.get(self._mailbox.may_commit.remote(self._group)):
            raise TrainingError("Other workers have taken over from these: nothing was written.")

    def give_up(self, failure: Exception) -> None:
        """Waits, since this process may be ended as soon as it raises."""
        ray.get(self._mailbox.give_up.remote(failure))

    def post(self, news: Any) -> None:
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
