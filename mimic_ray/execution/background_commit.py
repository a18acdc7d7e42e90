"""Checkpoints that are written by a thread while training goes on.

    in the step     the state is collected and copied to host memory
    in the thread   written, hashed while it is written, stored; then the step is committed

The next commit waits for the last. What is committed is what the training had at that step, since
the copy is complete before the next step begins.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

State = Mapping[str, Any]

# Without a given interval, commits take at most this share of the time, and this many seconds lie
# between two of them.
_SHARE, _SHORTEST_S = 0.02, 10.0


class BackgroundCommit:
    """Writes one state at a time: `write(step, state)` runs in a thread.

    An error of the thread is raised by the next call of `start`, `check` or `wait`.
    """

    def __init__(self, write: Callable[[int, State], None]) -> None:
        self._write = write
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._copy: State | None = None  # its memory is used again
        self._committed: int | None = None
        self._ended_at, self._cost_s = time.monotonic(), 0.0

    def start(self, step: int, state: State, *, collected_s: float = 0.0) -> None:
        """Copies the state and returns; the thread writes it.

        `collected_s`: seconds for which the step has waited for the state itself. A split student
        is gathered from all workers.
        """
        self.wait()  # not a cost of this commit: `due` is false until the last one is written
        begun = time.monotonic()
        self._copy = host_copy(state, self._copy)
        self._cost_s = collected_s + time.monotonic() - begun
        self._thread = threading.Thread(target=self._run, args=(step, self._copy), daemon=True)
        self._thread.start()

    def check(self) -> int | None:
        """The step that was committed since the last call, if any. Does not wait."""
        if self._error:
            error, self._error = self._error, None
            raise error
        step, self._committed = self._committed, None
        return step

    def wait(self) -> None:
        """Until nothing is being written."""
        if self._thread:
            self._thread.join()
            self._thread = None
        if self._error:
            self.check()

    def settle(self) -> None:
        """`wait` without its error, for when another error is being raised."""
        if self._thread:
            self._thread.join()

    def due(self) -> bool:
        """Whether a commit now keeps the cost of all commits below 2 % of the time."""
        if self._thread and self._thread.is_alive():
            return False
        since = time.monotonic() - self._ended_at
        return since >= max(_SHORTEST_S, self._cost_s / _SHARE)

    def _run(self, step: int, state: State) -> None:
        begun = time.thread_time()
        try:
            self._write(step, state)
            self._committed = step
        except BaseException as error:  # raised again by the thread that trains
            self._error = error
        # Without an accelerator, the thread takes its CPU time from the training.
        if not torch.cuda.is_available():
            self._cost_s += time.thread_time() - begun
        self._ended_at = time.monotonic()


def host_copy(state: State, reusable: State | None = None) -> State:
    """The state with all tensors copied to host memory, in the same memory format.

    `reusable` is an earlier copy whose tensors are overwritten where they fit: new memory costs
    more than the copy. Returns after all copies are complete.
    """
    copied = _copy(state, reusable)
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    result: State = copied
    return result


def _copy(value: Any, reusable: Any) -> Any:
    if isinstance(value, Tensor):
        value = value.detach()
        if not _fits(value, reusable):
            reusable = torch.empty_like(value, device="cpu", pin_memory=value.is_cuda)
        return reusable.copy_(value, non_blocking=True)
    if isinstance(value, Mapping):
        before = reusable if isinstance(reusable, Mapping) else {}
        return {key: _copy(item, before.get(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        earlier = reusable if isinstance(reusable, list | tuple) else ()
        pairs = zip(value, [*earlier, *[None] * len(value)], strict=False)
        return type(value)(_copy(item, old) for item, old in pairs)
    return value


def _fits(value: Tensor, reusable: Any) -> bool:
    return (
        isinstance(reusable, Tensor)
        and (reusable.shape, reusable.dtype) == (value.shape, value.dtype)
        and reusable.stride() == value.stride()
    )
