"""For each run folder named on stdin: a child that commits there for ever; its id goes to stdout.

    python commit_forever.py whole|in_place

This is a separate process: it imports torch once, and its forked children share the import.
"in_place" is a faulty writer that overwrites files instead of replacing them.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import signal
import sys

import torch

from mimic_ray.base import files
from mimic_ray.store import checkpoint as protocol
from mimic_ray.store import state_file
from mimic_ray.store.checkpoint_index import latest_content
from mimic_ray.store.run_folder import RunFolder


def commit_in_place(folder, step, state):
    """The same files with the same checksums, but always under the same names."""
    target = folder.checkpoints / "step-000001"
    target.mkdir(parents=True, exist_ok=True)
    state_file.write_state(target, {**state, "step": step})
    written = {
        name: {"bytes": (target / name).stat().st_size, "sha256": files.sha256(target / name)}
        for name in (state_file.TENSORS, state_file.VALUES)
    }
    manifest = json.dumps({"step": 1, "files": written}).encode()
    (target / "manifest.json").write_bytes(manifest)
    entry = {"step": 1, "manifest": hashlib.sha256(manifest).hexdigest()}
    (folder.checkpoints / "latest.json").write_bytes(latest_content([entry]))


def commit_forever(folder, commit):
    committed = protocol.latest(folder)
    for step in itertools.count(committed.step + 1 if committed else 1):
        commit(folder, step, {"step": step, "weights": torch.full((20_000,), float(step))})


if __name__ == "__main__":
    chosen = {"whole": protocol.commit, "in_place": commit_in_place}[sys.argv[1]]
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the killed leave no zombies
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            commit_forever(RunFolder.open(line.strip()), chosen)
        print(child, flush=True)
