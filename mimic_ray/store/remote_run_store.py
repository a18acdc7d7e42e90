"""A run on object storage: nothing can be renamed there, so what makes a thing whole comes last.

    run.json  recipe.toml  metrics.jsonl  progress.json     replaced as a whole, each
    checkpoints/step-000120-5f0c9a1b/                       a new folder for each attempt
        tensors.safetensors  state.json  manifest.json      the manifest, with sha256s, last
    checkpoints/latest.json                                 names the folders that count, afterwards
    student.safetensors  export/  README.md ...             at the end; run.json last of all

A folder that latest.json does not name is one that was being written when its writer was killed;
the next commit removes it.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mimic_ray.base import files
from mimic_ray.base.errors import (
    DamagedCheckpointError,
    MimicError,
    StorageAwayError,
    StorageError,
)
from mimic_ray.store.checkpoint import KEPT, commit, sealed
from mimic_ray.store.progress_file import NAME as LIVE
from mimic_ray.store.progress_file import LiveStore
from mimic_ray.store.remote_progress_file import RemoteLive
from mimic_ray.store.run_store import CLAIM, Place
from mimic_ray.store.working_copy import Mirror

_CHECKPOINTS = "checkpoints"
_LATEST = f"{_CHECKPOINTS}/latest.json"
_MANIFEST = "manifest.json"


class RemotePlace(Place):
    """See `Place`. What `folder` holds is a copy; what counts is at the address."""

    remote = True

    def __init__(self, address: str, who: str) -> None:
        self._mirror = Mirror(address, who)
        super().__init__(self._mirror.path)
        self._live = RemoteLive(self._mirror.storage)

    def __str__(self) -> str:
        return self._mirror.storage.shown()

    def at(self, name: str = "") -> Path | str:
        return self._mirror.storage.shown(name)

    @property
    def live(self) -> LiveStore:
        return self._live

    def require_free(self) -> None:
        self._mirror.require_free(self.folder.record.name, "run")

    def hurry(self) -> None:
        self._mirror.hurry()

    def fetch(self, *, checkpoint: bool = True) -> None:
        self._mirror.start_anew()
        for found in self._mirror.listed():
            top = found.name.partition("/")[0]
            if top != _CHECKPOINTS and not top.startswith("."):
                self._mirror.fetch(found.name)
        if checkpoint:
            self._fetch_checkpoint()

    @contextmanager
    def named(self) -> Iterator[None]:
        with self._mirror.named():
            yield

    def put(self, *names: str) -> None:
        for name in names:
            self._mirror.put(name)

    def drop(self, name: str) -> None:
        self._mirror.drop(name)

    def drop_checkpoints(self) -> None:
        self._mirror.drop_folder(_CHECKPOINTS)

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
            self._mirror.put(f"{_CHECKPOINTS}/{target}/{path.name}", path)
        entry = {"step": step, "folder": target, "manifest": _sha256(manifest)}
        kept = [entry, *(known for known in named if known["step"] < step)][:KEPT]
        self._mirror.patiently(lambda: self._mirror.storage.write(_LATEST, sealed(kept)))
        self._remove_all_but({str(known["folder"]) for known in kept})

    def put_results(self) -> None:
        record = self.folder.record
        for path in sorted(self.folder.path.rglob("*")):
            name = path.relative_to(self.folder.path).as_posix()
            own = name.partition("/")[0] in (_CHECKPOINTS, record.name, LIVE)
            if path.is_file() and not own and not name.startswith("."):
                self.put(name)
        self.put(record.name)
        self.drop(self.folder.metrics_log.name)  # its rows are in metrics.parquet now

    def remove(self) -> None:
        self._mirror.remove()

    def leave(self) -> None:
        self._live.settle()
        self._mirror.leave()

    def close(self) -> None:
        with suppress(MimicError):
            if self.folder.worker_log.exists():
                self.put(self.folder.worker_log.name)
            self._mirror.storage.delete_folder(".ray")
            self._release()
        self.leave()

    def _claim(self) -> str | None:
        content = self._mirror.read(CLAIM)
        return None if content is None else content.decode(errors="replace")

    def _fetch_checkpoint(self) -> None:
        """The latest whole step into the folder, in the layout of store/checkpoint.py.

        Raises DamagedCheckpointError for an object that is not what was written. As on a disk, an
        older step is taken only where somebody removed the newer one.
        """
        named = self._named()
        listed = self._mirror.listed()
        present = {found.name.split("/")[1] for found in listed if _in_step(found.name)}
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
        return self._mirror.patiently(lambda: self._mirror.storage.exists(manifest))

    def _fetch_checked(self, name: str, folder: Path, sha256: str) -> bytes:
        try:
            content = self._mirror.read(name) or b""
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
        folder.mkdir(parents=True, exist_ok=True)
        (folder / Path(name).name).write_bytes(content)
        return content

    def _named(self) -> list[dict[str, Any]]:
        """What latest.json names, newest first."""
        content = self._mirror.read(_LATEST)
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
            storage = self._mirror.storage
            names = [found.name for found in storage.list() if _in_step(found.name)]
            for folder in {name.split("/")[1] for name in names} - kept:
                storage.delete_folder(f"{_CHECKPOINTS}/{folder}")


def _in_step(name: str) -> bool:
    return name.startswith(f"{_CHECKPOINTS}/step-") and name.count("/") == 2


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
