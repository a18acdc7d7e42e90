"""Where the files of a run or a study are kept: in a folder or in object storage.

Every process works in `store.folder`. With a local store that folder is what other processes read.
With object storage it is a copy of what counts, which is at the address: `fetch` brings files into
the folder and `publish` sends them back.

    store = open_store("s3://bucket/run", "driver")
    store.fetch(lambda name: name.endswith(".json"))
    ...                                       # work in store.folder
    store.publish("metrics.jsonl")            # whole, or not at all
    store.publish_checkpoint(120)             # all of its files first, its name last
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

from mimic_ray.base.errors import WrongFolderError, option
from mimic_ray.base.storage_address import is_remote, parse
from mimic_ray.base.text import plain
from mimic_ray.store.local_store import LocalStore
from mimic_ray.store.object_store import ObjectStore


class Store(Protocol):
    """What a run and a study need of the location where they are kept.

    `str(store)` is the location as messages show it. Names are relative to it and use "/". All
    methods but the two `try_` ones raise StorageError or OSError.
    """

    folder: Path
    is_remote: bool
    progress_interval_s: float  # at least this long between two calls of `try_write`

    def location(self, name: str = "") -> Path | str:
        """Where a reader finds the store or one of its files: a path or an address."""

    def names(self) -> list[str]:
        """What is stored, without what killed writers left. Raises if nothing can be written."""

    def read(self, name: str) -> bytes | None:
        """The stored content of a file; None if there is no such file."""

    def fetch(self, wanted: Callable[[str], bool]) -> None:
        """Makes `folder` equal to the stored files with a wanted name."""

    def fetch_file(self, name: str) -> bool:
        """Brings one file into `folder`; False if there is no such file."""

    def publish(self, *names: str) -> None:
        """Stores files of `folder`, each as a whole."""

    def fetch_checkpoint(self) -> None:
        """Brings the latest complete checkpoint, if there is one, into `folder`."""

    def publish_checkpoint(self, step: int) -> None:
        """Stores the checkpoint of `step` that was committed in `folder`; see checkpoint.py."""

    def delete(self, name: str) -> None:
        """Deletes a file, here and in the store. A missing one is not an error."""

    def delete_folder(self, name: str) -> None:
        """Deletes a folder with all files in it, here and in the store."""

    def clear(self) -> None:
        """Deletes everything, as far as possible."""

    def try_read(self, name: str) -> bytes | None:
        """`read` in one try, for what is only shown; None if that fails."""

    def try_write(self, name: str, content: bytes) -> None:
        """Stores a small file that is only shown. Does not wait and does not raise."""

    def shorten_timeouts(self) -> None:
        """From now on gives up early on object storage that does not answer."""

    def errors_at_location(self) -> AbstractContextManager[None]:
        """Errors raised inside name the location instead of `folder`."""

    def close(self) -> None:
        """Ends the use of the store by this process and deletes its copies."""


def open_store(location: str | Path, owner: str) -> Store:
    """The store at a path or an address.

    `owner` distinguishes the processes of one command on one machine, such as "worker-0".
    Raises UsageError or StorageError for an invalid address.
    """
    if is_remote(location):
        return ObjectStore(str(location), owner)
    return LocalStore(Path(parse(location).path))


class Occupant(NamedTuple):
    """What is stored at a location: a summary, and whether a resume has anything to do."""

    summary: str = ""
    can_continue: bool = True


def require_free(
    store: Store,
    record: str,
    kind: str,
    describe: Callable[[bytes], Occupant] = lambda content: Occupant(),
    leftovers: Collection[str] = (),
) -> None:
    """Raises WrongFolderError if anything is stored there already, but for `leftovers`.

    `record` is the file that makes it a `kind`, and `describe` reads the content of one.
    """
    names = store.names()
    if record in names:
        found = describe(store.read(record) or b"")
        way_on = f"continue it with {option('resume', True)}, or " if found.can_continue else ""
        raise WrongFolderError(
            f"{store} holds another {kind}{found.summary}: {way_on}set another {option('out')}."
        )
    if names := [name for name in names if name not in leftovers]:
        raise WrongFolderError(
            f'{store} holds "{plain(names[0])}", which does not belong to a {kind}: set '
            f"{option('out')} to a new or empty location."
        )
