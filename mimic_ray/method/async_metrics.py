"""The numbers of a step on their way from the device, so that no step waits for the one before.

On a GPU the host only queues work: reading a loss at once would leave the device idle until the
next step is queued. A step's numbers are therefore read after the next one is under way. On the
CPU there is nothing to gain, and they are read at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Reading:
    """What was known at step `step` (from 1) without asking the device, and what was not."""

    step: int
    learning_rate: float
    names: list[str]
    values: Tensor  # on the host; to be read only after `arrived`
    arrived: torch.cuda.Event | None


class Readings:
    """A queue of at most two steps."""

    def __init__(self, device: torch.device, lag: int | None = None) -> None:
        self._cuda = device.type == "cuda"
        self.lag = int(self._cuda) if lag is None else lag
        self._under_way: deque[Reading] = deque()

    def put(self, step: int, learning_rate: float, terms: dict[str, Tensor]) -> None:
        """Starts the journey of a step's scalars, stacked as [len(names)]."""
        names, values = list(terms), torch.stack(list(terms.values()))
        arrived = None
        if self._cuda:
            # Pinned, else the copy would wait; never read before the event has come.
            host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            values = host.copy_(values, non_blocking=True)
            arrived = torch.cuda.Event()
            arrived.record()
        self._under_way.append(Reading(step, learning_rate, names, values, arrived))

    def take(self, leave: int) -> Iterator[dict[str, float]]:
        """The rows of the oldest steps, in order, until only `leave` are under way."""
        while len(self._under_way) > leave:
            reading = self._under_way.popleft()
            if reading.arrived:
                reading.arrived.synchronize()
            numbers = dict(zip(reading.names, reading.values.tolist(), strict=True))
            yield {"step": reading.step, "learning_rate": reading.learning_rate, **numbers}

    def __len__(self) -> int:
        return len(self._under_way)
