"""Files at an address, local or remote: read whole or by range, list, write, delete.

Every call has a timeout (see storage_address.py). Errors are one sentence without secrets.
"""

from __future__ import annotations

import atexit
import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from threading import Lock
from typing import Any

from mimic_ray.base import files
from mimic_ray.base.errors import DiskFullError, MissingObjectError, StorageAwayError, StorageError
from mimic_ray.base.redact import redact
from mimic_ray.base.storage_address import ATTEMPTS, Address, filesystem_of, is_remote, parse
from mimic_ray.base.text import plain

_CHUNK = 8 << 20
# An open file costs a request to open and a little memory to keep.
_OPEN_FILES = 256


@dataclass(frozen=True)
class Found:
    """A listed file; its name is relative to the address."""

    name: str
    size: int
    modified_s: float


def open_storage(address: str | Path | Address) -> Storage:
    """The files at `address`; nothing is asked of them yet. Raises UsageError, StorageError."""
    parsed = address if isinstance(address, Address) else parse(address)
    with _sentences(parsed.shown):
        return Storage(parsed, filesystem_of(parsed))


@cache
def local_copy(location: str) -> Path:
    """A local path of the file at a path or an address. A remote file is copied once per process.

    The copy has the same name and is deleted when the process ends. Raises StorageError.
    """
    if not is_remote(location):
        return Path(parse(location).path)
    above, _, name = location.partition("?")[0].rpartition("/")
    query = location[len(above) + 1 + len(name) :]
    storage = open_storage(above + query)
    folder = Path(mkdtemp(prefix="mimic-ray-"))
    atexit.register(rmtree, folder, ignore_errors=True)
    found = storage.find(name)
    if found is None:
        raise MissingObjectError(f"{storage.shown(name)} does not exist.")
    with files.disk_errors(folder / name), (folder / name).open("wb") as copy:
        for offset in range(0, found.size, _CHUNK):
            copy.write(storage.read_range(name, offset, min(_CHUNK, found.size - offset)))
    return folder / name


class Storage:
    """The files below one address, by names relative to it. Any thread may call.

    Every method raises StorageError, one sentence, when the storage cannot be reached, refuses or
    lacks a file.
    """

    def __init__(self, address: Address, filesystem: Any) -> None:
        self.address = address
        self._filesystem = filesystem
        self._open: OrderedDict[str, Any] = OrderedDict()
        self._lock = Lock()

    def shown(self, name: str = "") -> str:
        """The location of `name` as messages show it."""
        return f"{self.address.shown}/{plain(name)}" if name else self.address.shown

    def folders(self) -> list[str]:
        """The names directly below the address that have files below them."""
        from pyarrow import fs

        with _sentences(self.shown()):
            found = self._filesystem.get_file_info(
                fs.FileSelector(self.address.path, allow_not_found=True)
            )
        return sorted(item.base_name for item in found if item.type == fs.FileType.Directory)

    def list(self, *, recursive: bool = True) -> list[Found]:
        """The files below the address, by name; none if nothing is there."""
        from pyarrow import fs

        base = self.address.path
        selector = fs.FileSelector(base, allow_not_found=True, recursive=recursive)
        with _sentences(self.shown()):
            found = self._filesystem.get_file_info(selector)
            if not found:
                self._require_bucket()
        return sorted(
            (
                Found(item.path[len(base) :].lstrip("/"), item.size, item.mtime_ns / 1e9)
                for item in found
                if item.is_file
            ),
            key=lambda item: item.name,
        )

    def find(self, name: str) -> Found | None:
        """The facts of one file, None if there is no such file."""
        with _sentences(self.shown(name)):
            item = self._filesystem.get_file_info(self._path(name))
        return Found(name, item.size, item.mtime_ns / 1e9) if item.is_file else None

    def version(self, name: str) -> str:
        """Changes when the content of `name` does: its entity tag, else its size and time."""
        with _sentences(self.shown(name)), self._reader(name) as file:
            facts = {key.lower(): value for key, value in (file.metadata() or {}).items()}
        if tag := facts.get("etag"):
            return str(tag)
        found = self.find(name)
        return f"{found.size} {found.modified_s}" if found else ""

    def exists(self, name: str) -> bool:
        return self.find(name) is not None

    def read_bytes(self, name: str) -> bytes:
        with _sentences(self.shown(name)), self._reader(name) as file:
            return bytes(file.read())

    def read_range(self, name: str, offset: int, size: int) -> bytes:
        """`size` bytes at `offset`, fewer where the file ends. One request, once it is open.

        Only for files that are not overwritten meanwhile: they stay open.
        """
        with _sentences(self.shown(name)):
            return bytes(self._kept(name).read_at(size, offset))

    def write(self, name: str, content: bytes | Path) -> None:
        """Readers see nothing of it until it is whole. A Path is a local file to copy."""
        with _sentences(self.shown(name)):
            if self.address.remote:
                self._upload(self._path(name), content)
            else:
                target = Path(self._path(name))
                target.parent.mkdir(parents=True, exist_ok=True)
                whole = content.read_bytes() if isinstance(content, Path) else content
                files.write_bytes(target, whole)
        self._forget(name)

    def delete(self, name: str) -> None:
        """A file that is not there is no error: a repeated request may have deleted it."""
        self._forget(name)
        with _sentences(self.shown(name)), suppress(FileNotFoundError):
            self._filesystem.delete_file(self._path(name))

    def delete_folder(self, name: str) -> None:
        """All below it; file by file, object storage would keep an empty object to remember it."""
        with _sentences(self.shown(name)), suppress(FileNotFoundError):
            self._filesystem.delete_dir(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self.address.path}/{name}" if name else self.address.path

    def _upload(self, path: str, content: bytes | Path) -> None:
        chunks = _chunks(content)
        first = next(chunks, b"")  # what cannot be read must not replace anything by nothing
        # compression=None: a name that ends in .gz does not ask for compression.
        stream = self._filesystem.open_output_stream(path, compression=None)
        try:
            stream.write(first)
            for chunk in chunks:
                stream.write(chunk)
        except BaseException:
            # pyarrow cannot give an upload up: closing publishes a part, which must go again. If
            # it was the storage that failed, closing fails too, and what was there before stays.
            with suppress(Exception):
                stream.close()
                self._filesystem.delete_file(path)
            raise
        stream.close()  # only here it becomes visible

    def _require_bucket(self) -> None:
        """A prefix in no bucket looks like one without files."""
        if self.address.remote and not self._filesystem.get_file_info(self.address.bucket).type:
            raise OSError(_NO_BUCKET[0])

    def _forget(self, name: str) -> None:
        with self._lock:
            self._open.pop(name, None)

    def _reader(self, name: str) -> Any:
        return self._filesystem.open_input_file(self._path(name))

    def _kept(self, name: str) -> Any:
        """An open file, kept open: opening asks for the size and costs as much as reading."""
        with self._lock:
            if name in self._open:
                self._open.move_to_end(name)
                return self._open[name]
        file = self._reader(name)
        with self._lock:
            self._open[name] = file
            # A thread that still reads from the evicted file holds a reference to it.
            if len(self._open) > _OPEN_FILES:
                self._open.popitem(last=False)
        return file


def _chunks(content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


_DENIED: tuple[str, ...] = (
    *("ACCESS_DENIED", "INVALID_ACCESS_KEY", "SIGNATURE", "EXPIRED_TOKEN", "INVALID_CLIENT"),
    *("UNRECOGNIZED_CLIENT", "HTTP status 401", "HTTP status 403", "PERMISSION_DENIED"),
    *("UNAUTHENTICATED", "invalid_grant", "credentials"),
)
_NO_BUCKET = ("NO_SUCH_BUCKET", "bucket does not exist", "Bucket '")
_UNREACHED = ("NETWORK_CONNECTION", "curlCode", "Timeout", "timed out", "UNAVAILABLE")


@contextmanager
def _sentences(shown: str) -> Iterator[None]:
    """What pyarrow and the clouds' libraries raise, as a StorageError."""
    try:
        yield
    except FileNotFoundError as error:
        raise StorageError(f"{shown} does not exist.") from error
    except DiskFullError:
        raise
    except OSError as error:
        raise _as_ours(shown, str(error)) from error


def _as_ours(shown: str, text: str) -> StorageError:
    if any(sign in text for sign in _NO_BUCKET):
        return MissingObjectError(
            f"{shown}: there is no such bucket at this endpoint; check the address and region."
        )
    if any(sign in text for sign in _DENIED):
        return StorageError(
            f"{shown}: access was denied. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or "
            "AWS_PROFILE, or GOOGLE_APPLICATION_CREDENTIALS), give the machine a role that may "
            "read and write there, or add ?anonymous=true for a public bucket."
        )
    if any(sign in text for sign in _UNREACHED):
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        where = f" (AWS_ENDPOINT_URL is {plain(redact(endpoint))})" if endpoint else ""
        return StorageAwayError(
            f"{shown} cannot be reached{where}: the storage did not answer after {ATTEMPTS} "
            "tries. Check the endpoint and the network, then run the same command again."
        )
    return StorageAwayError(f"{shown} failed: {plain(redact(text))}")
