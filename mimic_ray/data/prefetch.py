"""The next batches, gathered by a thread while the device works on this one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Condition, Thread
from types import TracebackType

from torch import Tensor


class Ahead:
    """`batch(step)` is `gather(indices_of(step))`, made before it is asked for.

    At most `depth` batches wait, and none from step `end` on is made. Steps may be asked for in
    any order; whoever goes on by one finds the next ones ready. With `pin`, batches are in pinned
    memory, from which a copy to a CUDA device does not hold up the host.

        with Ahead(images.gather, plan.batch, end=steps) as ahead:
            for step in range(steps):
                train(ahead.batch(step))

    An error is raised at the step whose batch could not be made, not before. `gather` and
    `indices_of` are called by one thread at a time.
    """

    def __init__(
        self,
        gather: Callable[[Tensor], Tensor],
        indices_of: Callable[[int], Tensor],
        depth: int = 2,
        pin: bool = False,
        end: int | None = None,
    ) -> None:
        if depth < 1:
            raise ValueError(f"a depth of {depth} keeps no batch ready")
        self._gather, self._indices_of = gather, indices_of
        self._depth, self._pin, self._end = depth, pin, end
        self._ready: deque[tuple[int, Tensor | BaseException]] = deque()
        self._next: int | None = None  # the step that the thread makes next; None: nothing to do
        self._asked: int | None = None  # the step that somebody waits for
        self._closed = False
        self._changed = Condition()
        self._thread: Thread | None = None

    def batch(self, step: int) -> Tensor:
        """The batch of one step. Raises what `gather` raised, ValueError once closed."""
        with self._changed:
            if self._closed:
                raise ValueError("closed: no more batches are made")
            if not self._ready or self._ready[0][0] != step:
                self._go_to(step)
            while not self._ready:
                self._changed.wait()
            self._asked = None
            _, found = self._ready.popleft()
            self._changed.notify_all()
        if isinstance(found, BaseException):
            raise found
        return found

    def close(self) -> None:
        """Waits for the batch that is being made, at most; the thread is gone afterwards."""
        with self._changed:
            self._closed = True
            self._ready.clear()
            self._changed.notify_all()
        if self._thread:
            self._thread.join()

    def __enter__(self) -> Ahead:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _go_to(self, step: int) -> None:
        """Makes `step` the next one to be ready, whatever was prepared."""
        while self._ready and self._ready[0][0] != step:
            self._ready.popleft()
        if not self._ready:
            self._next = self._asked = step
        if self._thread is None:
            # A daemon: a program that ends without close() must not wait for it.
            self._thread = Thread(target=self._work, name="read ahead", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._closed and not self._may_make():
                    self._changed.wait()
                if self._closed:
                    return
                step = self._next
            assert step is not None
            made = self._make(step)
            with self._changed:
                # Somebody may have asked for another step meanwhile.
                if self._next == step and not self._closed:
                    self._ready.append((step, made))
                    # After an error nothing is made until a step is asked for again.
                    failed = isinstance(made, BaseException)
                    self._next = None if failed else step + 1
                    self._changed.notify_all()

    def _may_make(self) -> bool:
        if self._next is None or len(self._ready) >= self._depth:
            return False
        # A step that is asked for is made, wherever the end was said to be.
        return self._end is None or self._next < self._end or self._next == self._asked

    def _make(self, step: int) -> Tensor | BaseException:
        try:
            batch = self._gather(self._indices_of(step))
            return batch.pin_memory() if self._pin else batch
        except BaseException as error:
            return error
