"""The lease of a run: of two commands that work on the same run, the later one takes it over."""

from __future__ import annotations

import secrets
from contextlib import suppress

from mimic_ray.base import files
from mimic_ray.base.errors import MimicError, RunFolderError
from mimic_ray.store.store import Store

LEASE = ".lease"


class Lease:
    """Names the command that may write to a run.

    `token` is the fencing token of this command, "" before `take`. Its workers pass the token to
    `check` before they commit.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.token = ""

    def take(self) -> None:
        """Makes this command the owner of the run. Raises StorageError, DiskError."""
        self.token = secrets.token_hex(8)
        files.write_text(self._store.folder / LEASE, self.token)
        self._store.publish(LEASE)

    def check(self, token: str) -> None:
        """Raises RunFolderError if another command took the lease. "" skips the check."""
        if token and self._holder() != token:
            raise RunFolderError(
                f"Another command has taken over {self._store}: this one stops and writes nothing "
                "more there. Its checkpoints are kept."
            )

    def release(self) -> None:
        """Gives the lease back, if this command holds it. Errors are ignored."""
        with suppress(OSError, MimicError):
            if self.token and self._holder() == self.token:
                self._store.delete(LEASE)

    def _holder(self) -> str | None:
        content = self._store.read(LEASE)
        return None if content is None else content.decode(errors="replace")
