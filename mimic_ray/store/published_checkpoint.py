"""Checkpoints in object storage, where folders cannot be renamed.

    checkpoints/step-000120-5f0c9a1b/      a new folder for each attempt
        tensors.safetensors  state.json  manifest.json      the manifest, with sha256s, last
    checkpoints/latest.json                names the folders that count, afterwards

A folder that latest.json does not name was being written when its writer was killed. The next
commit removes it.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from mimic_ray.base import files
from mimic_ray.base.errors import DamagedCheckpointError, StorageError, option
from mimic_ray.base.storage import Storage
from mimic_ray.store.checkpoint_index import (
    KEPT,
    LATEST,
    MANIFEST,
    latest_content,
    parse_latest,
    step_folder,
)
from mimic_ray.store.node_copy import NodeCopy
from mimic_ray.store.retry import Retry
from mimic_ray.store.run_folder import CHECKPOINTS, RunFolder

_LATEST = f"{CHECKPOINTS}/{LATEST}"


class PublishedCheckpoints:
    """The checkpoints of a run at an address. Methods raise StorageError."""

    def __init__(self, storage: Storage, retry: Retry, copy: NodeCopy) -> None:
        self._storage, self._retry, self._copy = storage, retry, copy

    def publish(self, run: RunFolder, step: int) -> None:
        """Stores the checkpoint of `step` in `run`. It counts once latest.json is replaced."""
        named = [known for known in self._named() if self._is_stored(known)]
        if named and named[0]["step"] == step:
            return
        source = step_folder(run, step)
        target = f"step-{step:06d}-{secrets.token_hex(4)}"
        for path in sorted(source.iterdir(), key=lambda path: path.name == MANIFEST):
            self._write(f"{CHECKPOINTS}/{target}/{path.name}", path)
        manifest = _sha256((source / MANIFEST).read_bytes())
        entry = {"step": step, "folder": target, "manifest": manifest}
        kept = [entry, *(known for known in named if known["step"] < step)][:KEPT]
        self._write(_LATEST, latest_content(kept))
        self._delete_all_but({str(known["folder"]) for known in kept})

    def fetch(self, run: RunFolder) -> None:
        """The latest complete checkpoint into `run`, in the layout of checkpoint.py.

        Raises DamagedCheckpointError for an object that is not what was written. As in a folder,
        an older step is used only if the newer one was deleted by hand.
        """
        named = self._named()
        stored = {name.split("/")[1] for name in self._retry(self._step_files)}
        for entry in named:
            if entry["folder"] not in stored:
                continue
            step = int(entry["step"])
            self._copy.bring(entry["folder"], entry["manifest"], step_folder(run, step))
            latest = latest_content([{"step": step, "manifest": entry["manifest"]}])
            files.write_bytes(run.checkpoints / LATEST, latest)
            return
        if named:
            raise DamagedCheckpointError(
                f"{self._storage.shown()}/{CHECKPOINTS}/{named[0]['folder']} is missing though "
                f"{LATEST} names it: restore it from a copy, or start again with another "
                f"{option('out')}."
            )

    def _named(self) -> list[dict[str, Any]]:
        """The entries of latest.json, newest first."""
        content = self._retry(
            lambda: self._storage.read_bytes(_LATEST) if self._storage.exists(_LATEST) else None
        )
        return [] if content is None else parse_latest(content, self._storage.shown(_LATEST))

    def _is_stored(self, named: Mapping[str, Any]) -> bool:
        manifest = f"{CHECKPOINTS}/{named['folder']}/{MANIFEST}"
        return self._retry(lambda: self._storage.exists(manifest))

    def _write(self, name: str, content: bytes | Path) -> None:
        self._retry(lambda: self._storage.write(name, content))

    def _delete_all_but(self, kept: set[str]) -> None:
        # A folder that cannot be deleted only costs storage.
        with suppress(StorageError):
            for folder in {name.split("/")[1] for name in self._step_files()} - kept:
                self._storage.delete_folder(f"{CHECKPOINTS}/{folder}")

    def _step_files(self) -> list[str]:
        names = [found.name for found in self._storage.list()]
        return [n for n in names if n.startswith(f"{CHECKPOINTS}/step-") and n.count("/") == 2]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
