"""Messages from workers to the driver, and stop requests back, through a small actor.

A report through Ray Train waits for its controller's next poll; an asynchronous actor call takes
0.3 ms. Messages may be lost: everything important is on disk (metrics.jsonl, checkpoints).

The driver keeps a `RunControl`; each worker gets `RunControl.for_worker()`.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Generic, TypeVar

from mimic_ray.base.errors import MimicError, TrainingError

Message = TypeVar("Message")
_MOST_MESSAGES = 64


class ControlActor(Generic[Message]):
    """The shared state of driver and workers, in a Ray actor."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque(maxlen=_MOST_MESSAGES)
        self._stop_requested = False
        self._groups = 0
        self._failure: MimicError | None = None

    def begin(self) -> int:
        """Registers a new group of workers, called by its rank 0; returns its number, from 1."""
        self._groups += 1
        return self._groups

    def is_current(self, group: int) -> bool:
        """Whether no newer group has begun. An older group is stale: it ran on a node that lost the
        network, and its checkpoints would overwrite those of the newer group."""
        return group == self._groups

    def give_up(self, failure: MimicError) -> None:
        """Stores an error that would occur again on a retry."""
        self._failure = failure

    def failure(self) -> MimicError | None:
        return self._failure

    def post(self, message: Message) -> bool:
        """Adds a message, dropping the oldest if there are too many; returns whether to stop."""
        self._messages.append(message)
        return self._stop_requested

    def take(self) -> list[Message]:
        """The messages since the last call."""
        taken = list(self._messages)
        self._messages.clear()
        return taken

    def request_stop(self) -> bool:
        """Returns whether there is a worker that can receive the request."""
        self._stop_requested = True
        return self._groups > 0


class RunControl(Generic[Message]):
    """The driver's side. Each method waits for the actor, which takes about a millisecond."""

    def __init__(self) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        # On the driver's node, so that a lost node or network cannot separate the two.
        node = ray.get_runtime_context().get_node_id()
        here = NodeAffinitySchedulingStrategy(node, soft=False)
        remote = ray.remote(num_cpus=0)(ControlActor)
        self._actor = remote.options(scheduling_strategy=here).remote()

    def for_worker(self) -> WorkerControl[Message]:
        return WorkerControl(self._actor)

    def messages(self) -> list[Message]:
        """The messages since the last call, at most the newest 64."""
        return _wait_for(self._actor.take.remote())

    def raise_failure(self) -> None:
        """Raises the error of a worker that gave up, if there is one."""
        if failure := _wait_for(self._actor.failure.remote()):
            raise failure

    def request_stop(self) -> bool:
        """Returns whether there is a worker that can receive the request."""
        return _wait_for(self._actor.request_stop.remote())


class WorkerControl(Generic[Message]):
    """A worker's side. It never waits for the actor during a step."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self._group = 0
        self._reply: Any = None
        self._stop_requested = False

    def begin(self) -> None:
        """Called by rank 0: from now on, stop requests have a receiver."""
        self._group = _wait_for(self._actor.begin.remote())

    def check_current(self) -> None:
        """Confirms with the driver that this group is still the current one.

        Raises TrainingError if not. A worker that cannot reach the driver must not write.
        """
        if not _wait_for(self._actor.is_current.remote(self._group)):
            raise TrainingError("Newer workers have taken over this run: nothing was written.")

    def give_up(self, failure: MimicError) -> None:
        """Waits for the actor, because this process may be killed as soon as it raises."""
        _wait_for(self._actor.give_up.remote(failure))

    def post(self, message: Message) -> None:
        self._read_reply()
        reply = self._actor.post.remote(message)
        if self._reply is None:
            self._reply = reply

    def should_stop(self) -> bool:
        self._read_reply()
        return self._stop_requested

    def _read_reply(self) -> None:
        import ray

        if self._reply is not None and ray.wait([self._reply], timeout=0)[0]:
            self._stop_requested = self._stop_requested or ray.get(self._reply)
            self._reply = None


def _wait_for(reference: Any) -> Any:
    import ray

    return ray.get(reference)
