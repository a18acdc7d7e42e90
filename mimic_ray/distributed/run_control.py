"""Messages from workers to the driver, and stop requests back, through a small actor.

A report through Ray Train waits for its controller's next poll; an asynchronous actor call takes
0.3 ms. Messages may be lost: everything important is on disk (metrics.jsonl, checkpoints).

The driver keeps a `RunControl`; each worker gets `RunControl.for_worker()`. If the actor's process
dies, Ray starts it again, empty. The driver's next call restores what matters: its orders and the
number of the newest group of workers.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, NamedTuple, TypeVar

from mimic_ray.base.errors import RESUME_ADVICE, MimicError, TrainingError

Message = TypeVar("Message")
_MOST_MESSAGES = 64
# How long the actor may be away. A new process takes seconds, on a busy machine a minute.
_AWAY_S = 120.0
_RETRY_S = 0.5
# The driver's display must not wait longer for an answer.
_ANSWER_S = 5.0


class Orders(NamedTuple):
    """What the driver wants of the workers. `draining` counts the nodes that are to be taken away:
    whenever it rises, the workers commit."""

    stop: bool = False
    draining: int = 0


class ControlActor(Generic[Message]):
    """The shared state of driver and workers, in a Ray actor."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque(maxlen=_MOST_MESSAGES)
        self._orders = Orders()
        self._groups = 0
        self._failure: MimicError | None = None

    def begin(self) -> int:
        """Registers a new group of workers, called by its rank 0; returns its number, from 1."""
        self._groups += 1
        return self._groups

    def is_current(self, group: int) -> bool:
        """Whether no newer group has begun. An older group is stale: it ran on a node that lost the
        network, and its checkpoints would overwrite those of the newer group."""
        self._groups = max(self._groups, group)  # a new actor does not know the groups before it
        return group == self._groups

    def give_up(self, failure: MimicError) -> None:
        """Stores an error that would occur again on a retry."""
        self._failure = failure

    def post(self, message: Message) -> Orders:
        """Adds a message, dropping the oldest if there are too many."""
        self._messages.append(message)
        return self._orders

    def exchange(self, orders: Orders, groups: int) -> tuple[list[Message], MimicError | None, int]:
        """Takes what the driver knows; returns the messages since the last call, the error of a
        worker that gave up, and the number of groups."""
        self._orders = orders
        self._groups = max(self._groups, groups)
        taken = list(self._messages)
        self._messages.clear()
        return taken, self._failure, self._groups


class RunControl(Generic[Message]):
    """The driver's side. Each call waits for the actor, which takes about a millisecond."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        # On the driver's node, so that a lost node or network cannot separate the two.
        node = ray.get_runtime_context().get_node_id()
        here = NodeAffinitySchedulingStrategy(node, soft=False)
        remote = ray.remote(num_cpus=0, max_restarts=-1)(ControlActor)
        self._actor = remote.options(scheduling_strategy=here).remote()
        self._orders, self._groups = Orders(), 0
        self._taken: list[Message] = []
        self._failure: MimicError | None = None
        self._now, self._answered = now, now()

    def for_worker(self) -> WorkerControl[Message]:
        return WorkerControl(self._actor)

    def messages(self) -> list[Message]:
        """The messages since the last call, at most the newest 64; none while the actor is away.

        Raises TrainingError if it does not come back.
        """
        self._exchange()
        taken, self._taken = self._taken, []
        return taken

    def raise_failure(self) -> None:
        """Raises the error of a worker that gave up, if a call of `messages` has found one."""
        if self._failure:
            raise self._failure

    def request_stop(self) -> bool:
        """Returns whether there is a worker that can receive the request."""
        self._orders = self._orders._replace(stop=True)
        self._exchange()
        return self._groups > 0

    def nodes_draining(self, draining: int) -> None:
        """Tells the workers with the next call of `messages` how many nodes are to be taken away
        since the start."""
        self._orders = self._orders._replace(draining=draining)

    def _exchange(self) -> None:
        call = self._actor.exchange.remote(self._orders, self._groups)
        try:
            messages, failure, self._groups = _wait_for(call, timeout=_ANSWER_S)
        except _away() as error:
            if self._now() - self._answered > _AWAY_S:
                raise TrainingError(
                    "The process that passes messages between the workers and this command was "
                    f"killed, and Ray could not start it again. {RESUME_ADVICE}"
                ) from error
            return
        self._answered = self._now()
        self._taken += messages
        self._failure = self._failure or failure


class WorkerControl(Generic[Message]):
    """A worker's side. It never waits for the actor during a step."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self._group = 0
        self._reply: Any = None
        self._orders = Orders()

    def begin(self) -> None:
        """Called by rank 0: from now on, stop requests have a receiver."""
        self._group = _once_it_answers(self._actor.begin.remote)

    def check_current(self) -> None:
        """Confirms with the driver that this group is still the current one.

        Raises TrainingError if not. A worker that cannot reach the driver must not write.
        """
        if not _once_it_answers(lambda: self._actor.is_current.remote(self._group)):
            raise TrainingError("Newer workers have taken over this run: nothing was written.")

    def give_up(self, failure: MimicError) -> None:
        """Waits for the actor, because this process may be killed as soon as it raises."""
        _once_it_answers(lambda: self._actor.give_up.remote(failure))

    def post(self, message: Message) -> None:
        self._read_reply()
        reply = self._actor.post.remote(message)
        if self._reply is None:
            self._reply = reply

    def should_stop(self) -> bool:
        self._read_reply()
        return self._orders.stop

    def draining(self) -> int:
        self._read_reply()
        return self._orders.draining

    def _read_reply(self) -> None:
        import ray

        if self._reply is not None and ray.wait([self._reply], timeout=0)[0]:
            reply, self._reply = self._reply, None
            with suppress(*_away()):
                orders: Orders = ray.get(reply)
                # A new actor does not know the orders for a moment.
                known = self._orders
                draining = max(known.draining, orders.draining)
                self._orders = Orders(known.stop or orders.stop, draining)


def _wait_for(reference: Any, timeout: float | None = None) -> Any:
    import ray

    return ray.get(reference, timeout=timeout)


def _away() -> tuple[type[Exception], ...]:
    """Raised for a call of an actor whose process died or does not answer in time."""
    from ray.exceptions import GetTimeoutError, RayActorError

    return RayActorError, GetTimeoutError


def _once_it_answers(call: Callable[[], Any], away_s: float = _AWAY_S) -> Any:
    """The result of a call, repeated while the actor is away."""
    deadline = time.monotonic() + away_s
    while True:
        try:
            return _wait_for(call())
        except _away():
            if time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_S)
