"""A run on object storage: nothing can be renamed there, so what makes a thing whole comes last.

    run.json  recipe.toml  metrics.jsonl  progress.json     replaced as a whole, each
    checkpoints/step-000120-5f0c9a1b/                       a new folder for each attempt
        tensors.safetensors  state.json  manifest.json      the manifest, with sha256s, last
    checkpoints/latest.json                                 names the folders that count, afterwards
    student.safetensors  export/  README.md ...             at the end; run.json last of all

A folder that latest.json does not name is one that was being written when its writer was killed;
the next commit removes it. Each process works in a folder of its own, made anew when it begins:
driver and workers need no disk in common.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mimic_ray.base import files
from mimic_ray.base.errors import (
    DamagedCheckpointError,
    MimicError,
    RunFolderError,
    StorageAwayError,
    StorageError,
)
from mimic_ray.base.storage import Found, open_storage
from mimic_ray.data.names import cache_folder
from mimic_ray.runs.commit import KEPT, commit, sealed
from mimic_ray.runs.live import NAME as LIVE
from mimic_ray.runs.live import LiveStore
from mimic_ray.runs.patience import Patience
from mimic_ray.runs.place import Place
from mimic_ray.runs.remote_live import RemoteLive

_CHECKPOINTS = "checkpoints"
_LATEST = f"{_CHECKPOINTS}/latest.json"
_MANIFEST = "manifest.json"


class RemotePlace(Place):
    """See `Place`. What `folder` holds is a copy; what counts is at the address."""

    remote = True

    def __init__(self, address: str, who: str) -> None:
        self._storage = open_storage(address)
        name = hashlib.sha256(address.encode()).hexdigest()[:16]
        super().__init__(cache_folder() / "runs" / name / who)
        self._live = RemoteLive(self._storage)
        self._patiently = Patience()

    def __str__(self) -> str:
        return self._storage.shown()

    def at(self, name: str = "") -> Path | str:
        return self._storage.shown(name)

    @property
    def live(self) -> LiveStore:
        return self._live

    def require_free(self) -> None:
        # Writing is tried first: a run that cannot keep its results must not begin.
        self._storage.write(".probe", b"")
        self._storage.delete(".probe")
        found = [found.name for found in self._storage.list() if not found.name.startswith(".ray/")]
        if "run.json" in found:
            raise RunFolderError(
                f"{self} holds another run: continue it with --resume, or give another --out."
            )
        if found:
            raise RunFolderError(
                f'{self} holds "{found[0]}", which is no part of a run: give an address that is '
                "empty as --out."
            )
        # Of an earlier run that was killed here.
        shutil.rmtree(self.folder.path, ignore_errors=True)

    def hurry(self) -> None:
        self._patiently.hurry()

    def fetch(self, *, checkpoint: bool = True) -> None:
        self._start_anew()
        for found in self._listed():
            top = found.name.partition("/")[0]
            if top != _CHECKPOINTS and not top.startswith("."):
                self._fetch_file(found.name, self.folder.path / found.name)
        if checkpoint:
            self._fetch_checkpoint()

    @contextmanager
    def named(self) -> Iterator[None]:
        try:
            yield
        except MimicError as error:
            error.message = error.message.replace(str(self.folder.path), str(self))
            if len(error.args) == 1:
                error.args = (error.message,)  # what a pickle of it keeps
            raise

    def put(self, *names: str) -> None:
        for name in names:
            self._put_as(self.folder.path / name, name)

    def commit(self, step: int, state: Mapping[str, Any]) -> None:
        """As locally, and then there: it counts when latest.json has been replaced."""
        named = [known for known in self._named() if self._is_there(known)]
        if named and named[0]["step"] == step:
            return
        commit(self.folder, step, state)
        source = self.folder.checkpoints / f"step-{step:06d}"
        target = f"step-{step:06d}-{secrets.token_hex(4)}"
        manifest = (source / _MANIFEST).read_bytes()
        if self.folder.metrics_log.exists():
            self.put(self.folder.metrics_log.name)
        for path in sorted(source.iterdir(), key=lambda path: path.name == _MANIFEST):
            self._put_as(path, f"{_CHECKPOINTS}/{target}/{path.name}")
        entry = {"step": step, "folder": target, "manifest": _sha256(manifest)}
        kept = [entry, *(known for known in named if known["step"] < step)][:KEPT]
        self._patiently(lambda: self._storage.write(_LATEST, sealed(kept)))
        self._remove_all_but({str(known["folder"]) for known in kept})

    def put_results(self) -> None:
        record = self.folder.record
        for path in sorted(self.folder.path.rglob("*")):
            name = path.relative_to(self.folder.path).as_posix()
            own = name.partition("/")[0] in (_CHECKPOINTS, record.name, LIVE)
            if path.is_file() and not own and not name.startswith("."):
                self.put(name)
        self.put(record.name)
        # Its rows are in metrics.parquet now.
        self._patiently(lambda: self._storage.delete(self.folder.metrics_log.name))

    def remove(self) -> None:
        with suppress(MimicError):
            for found in self._storage.list():
                self._storage.delete(found.name)
        shutil.rmtree(self.folder.path, ignore_errors=True)

    def leave(self) -> None:
        self._live.settle()
        shutil.rmtree(self.folder.path, ignore_errors=True)

    def close(self) -> None:
        with suppress(MimicError):
            if self.folder.worker_log.exists():
                self.put(self.folder.worker_log.name)
            self._storage.delete_folder(".ray")
        self.leave()

    def _put_as(self, path: Path, name: str) -> None:
        self._patiently(lambda: self._storage.write(name, path))

    def _listed(self) -> list[Found]:
        return self._patiently(self._storage.list)

    def _start_anew(self) -> None:
        """An empty folder, but for a log that this process may be writing."""
        self.folder.path.mkdir(parents=True, exist_ok=True)
        for path in self.folder.path.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path != self.folder.worker_log:
                path.unlink()

    def _fetch_file(self, name: str, target: Path) -> bytes:
        content = self._patiently(lambda: self._storage.read_bytes(name))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return content

    def _fetch_checkpoint(self) -> None:
        """The latest whole step into the folder, in the layout of runs/commit.py.

        Raises DamagedCheckpointError for an object that is not what was written. As on a disk, an
        older step is taken only where somebody removed the newer one.
        """
        named = self._named()
        present = {found.name.split("/")[1] for found in self._listed() if _in_step(found.name)}
        for entry in named:
            if entry["folder"] not in present:
                continue
            step, source = int(entry["step"]), f"{_CHECKPOINTS}/{entry['folder']}"
            target = self.folder.checkpoints / f"step-{step:06d}"
            manifest = self._fetch_checked(f"{source}/{_MANIFEST}", target, entry["manifest"])
            for name, facts in json.loads(manifest)["files"].items():
                self._fetch_checked(f"{source}/{name}", target, facts["sha256"])
            files.write_bytes(
                self.folder.checkpoints / "latest.json",
                sealed([{"step": step, "manifest": entry["manifest"]}]),
            )
            return
        if named:
            raise DamagedCheckpointError(
                f"{self}/{_CHECKPOINTS}/{named[0]['folder']} is missing though latest.json names "
                "it: restore it from a copy, or start again with another --out."
            )

    def _is_there(self, named: Mapping[str, Any]) -> bool:
        manifest = f"{_CHECKPOINTS}/{named['folder']}/{_MANIFEST}"
        return self._patiently(lambda: self._storage.exists(manifest))

    def _fetch_checked(self, name: str, folder: Path, sha256: str) -> bytes:
        try:
            content = self._fetch_file(name, folder / Path(name).name)
        except StorageAwayError:
            raise
        except StorageError:
            content = b""
        if _sha256(content) != sha256:
            raise DamagedCheckpointError(
                f"{self}/{name} is damaged or missing (its sha256 is not the one that was "
                f"written): restore it from a copy, or delete {Path(name).parent.as_posix()}/ "
                "there to go on from the step before."
            )
        return content

    def _named(self) -> list[dict[str, Any]]:
        """What latest.json names, newest first."""

        def read() -> bytes | None:
            return self._storage.read_bytes(_LATEST) if self._storage.exists(_LATEST) else None

        content = self._patiently(read)
        if content is None:
            return []
        try:
            named: list[dict[str, Any]] = json.loads(content)["steps"]
            intact = sealed(named) == content
        except (ValueError, KeyError, TypeError):
            intact = False
        if not intact:
            raise DamagedCheckpointError(
                f"{self}/{_LATEST} is damaged (it does not match its own sha256): restore it from "
                "a copy, or start again with another --out."
            )
        return named

    def _remove_all_but(self, kept: set[str]) -> None:
        # What stays behind costs room, not truth.
        with suppress(StorageError):
            names = [found.name for found in self._storage.list() if _in_step(found.name)]
            for folder in {name.split("/")[1] for name in names} - kept:
                self._storage.delete_folder(f"{_CHECKPOINTS}/{folder}")


def _in_step(name: str) -> bool:
    return name.startswith(f"{_CHECKPOINTS}/step-") and name.count("/") == 2


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
