"""progress.json of a run on object storage: see store/progress_file.py."""

from __future__ import annotations

import threading
from contextlib import suppress

from mimic_ray.base.errors import MimicError
from mimic_ray.base.storage import Storage
from mimic_ray.store.progress_file import NAME, Live, LiveStore, parse_live

# A storage that does not answer must not hold up the end of a run.
_SETTLE_S = 20.0


class RemoteLive(LiveStore):
    """progress.json at an address: put by a thread, since training must not wait for it."""

    every_s = 10.0

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._putting: threading.Thread | None = None
        self._next: Live | None = None
        self._lock = threading.Lock()

    def read(self) -> Live | None:
        with suppress(MimicError):
            return parse_live(self._storage.read_bytes(NAME))
        return None

    def write(self, live: Live) -> None:
        with self._lock:
            self._next = live
            if self._putting is None:
                self._putting = threading.Thread(target=self._put, daemon=True)
                self._putting.start()

    def _put(self) -> None:
        while True:
            with self._lock:
                live, self._next = self._next, None
                if live is None:
                    self._putting = None
                    return
            with suppress(MimicError):
                self._storage.write(NAME, live.content())

    def settle(self) -> None:
        """Waits for what is under way."""
        if (putting := self._putting) is not None:
            putting.join(_SETTLE_S)
