"""The scalars of a step on their way from the device, so that no step waits for the one before.

On a GPU the host only queues work: reading a loss at once would keep the device idle until the
next step is queued. So a step's scalars are read while the next step runs. On the CPU there is
nothing to gain, and they are read at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class _Pending:
    """The scalars of step `step` (from 1), and what the host knew without them."""

    step: int
    learning_rate: float
    names: list[str]
    values: Tensor  # on the host; readable only after `arrived`
    arrived: torch.cuda.Event | None


class AsyncMetrics:
    """A queue of at most two steps. `lag` is the number of steps by which reading is late."""

    def __init__(self, device: torch.device, lag: int | None = None) -> None:
        self._cuda = device.type == "cuda"
        self.lag = int(self._cuda) if lag is None else lag
        self._pending: deque[_Pending] = deque()

    def put(self, step: int, learning_rate: float, scalars: dict[str, Tensor]) -> None:
        """Starts the copy of a step's scalars to the host."""
        names, values = list(scalars), torch.stack(list(scalars.values()))
        arrived = None
        if self._cuda:
            # Pinned, since the copy would wait otherwise; never read before the event.
            host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            values = host.copy_(values, non_blocking=True)
            arrived = torch.cuda.Event()
            arrived.record()
        self._pending.append(_Pending(step, learning_rate, names, values, arrived))

    def take(self, keep: int) -> Iterator[dict[str, float]]:
        """The rows of the oldest steps, in order, until only `keep` are pending."""
        while len(self._pending) > keep:
            oldest = self._pending.popleft()
            if oldest.arrived:
                oldest.arrived.synchronize()
            numbers = dict(zip(oldest.names, oldest.values.tolist(), strict=True))
            yield {"step": oldest.step, "learning_rate": oldest.learning_rate, **numbers}

    def __len__(self) -> int:
        return len(self._pending)
