"""Writes small files to object storage from a thread, so that training does not wait for them."""

from __future__ import annotations

import threading
from contextlib import suppress

from mimic_ray.base.errors import MimicError
from mimic_ray.base.storage import Storage

# Storage that does not answer must not delay the end of a run.
_SETTLE_TIMEOUT_S = 20.0


class BackgroundWriter:
    """Keeps the latest content of each file until it is written. Errors are ignored."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._waiting: dict[str, bytes] = {}
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def write(self, name: str, content: bytes) -> None:
        """Returns at once."""
        with self._lock:
            self._waiting[name] = content
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()

    def settle(self) -> None:
        """Waits until everything is written, for a limited time."""
        if (thread := self._thread) is not None:
            thread.join(_SETTLE_TIMEOUT_S)

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return
                name, content = self._waiting.popitem()
            with suppress(MimicError):
                self._storage.write(name, content)
