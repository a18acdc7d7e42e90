"""A comparison in a store: its record, and each run of a defence with its encoder.

    comparison.json                           inputs, settings, state, choices and results
    comparison.csv .tex .md .png .pdf .svg    the results for people and papers
    progress.json                             for `mimic-ray status`, see progress_file.py
    runs/DEFENCE/STRENGTH/seed-N/             one run of a defence:
        student.safetensors                   the purified encoder
        run.json                              written last: fidelity, cost, notes or the failure
        outcomes.npz                          which test images its heads classify how

Every file is written as a whole. A run without run.json did not end and is repeated.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import load_file, save
from torch import Tensor

from mimic_ray.base import files
from mimic_ray.base.errors import RunFolderError, WrongFolderError, option
from mimic_ray.base.redact import redact
from mimic_ray.base.user_code import is_user_code
from mimic_ray.data.left_out import LeftOut
from mimic_ray.store.agreement import differences
from mimic_ray.store.run_record import Status, host_facts, installed_versions, now
from mimic_ray.store.store import Store, open_store, require_free

RECORD = "comparison.json"
_RUNS, _RUN, _STUDENT, _OUTCOMES = "runs", "run.json", "student.safetensors", "outcomes.npz"

# key of a ComparisonRecord -> what an error calls it
_MUST_AGREE = {
    "encoder": "the encoder",
    "teacher_sha256": "the teacher's sha256",
    "data_fingerprint": "the images' fingerprint",
    "held_out": option("held_out"),
    "stop_rule": option("stop_rule"),
}


@dataclass(frozen=True)
class ComparisonRecord:
    """comparison.json. Times are UTC; `defences` label -> settings, `choices` label -> strength."""

    command: str
    encoder: str
    teacher: str
    teacher_sha256: str
    data: str
    data_fingerprint: str
    images: int
    held_out: float  # share of the images
    defences: dict[str, dict[str, Any]]
    seeds: list[int]
    stop_rule: bool
    curves: bool
    user_code: dict[str, str] = field(default_factory=dict)  # as in a RunRecord
    left_out: dict[str, LeftOut] = field(default_factory=dict)  # as in a RunRecord
    compute: dict[str, Any] = field(default_factory=dict)
    # Written before a labelled image is decoded.
    choices: dict[str, dict[str, Any]] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    status: Status = "running"
    error: str = ""
    seconds: float = 0.0
    started_at: str = field(default_factory=now)
    ended_at: str = ""
    versions: dict[str, str] = field(default_factory=installed_versions)
    host: dict[str, Any] = field(default_factory=host_facts)

    def ended(self, status: Status, seconds: float, error: str = "") -> ComparisonRecord:
        """The same comparison after `seconds` more."""
        total = self.seconds + seconds
        return replace(self, status=status, error=error, seconds=total, ended_at=now())


def check_same(recorded: ComparisonRecord, wanted: ComparisonRecord) -> None:
    """Raises WrongFolderError naming all that would make it another comparison.

    Defences, seeds and curves may be added: the runs that are there keep their meaning. So user
    code has to be the same only where both use it.
    """
    old, new = asdict(recorded), asdict(wanted)
    problems = [
        difference
        for key, words in _MUST_AGREE.items()
        for difference in differences(words, old[key], new[key])
    ]
    for name in recorded.user_code.keys() & wanted.user_code.keys():
        checksums = recorded.user_code[name], wanted.user_code[name]
        problems += differences(f"user code.{name}", *checksums)
    for label, settings in wanted.defences.items():
        before = recorded.defences.get(label, settings)
        problems += differences(label, before, settings)
    if problems:
        raise WrongFolderError(
            f"This is not the comparison that was started: {'; '.join(problems)}. Resume it with "
            f"the same inputs, or start a new one with another {option('out')}."
        )


class ComparisonStore:
    """One comparison. `folder` is what this process reads and writes; `store` is where it is."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.folder = store.folder

    def __str__(self) -> str:
        return str(self.store)

    def require_free(self) -> None:
        """Raises WrongFolderError if anything is stored there already."""
        require_free(self.store, RECORD, "comparison")

    def fetch(self) -> None:
        """Makes `folder` equal to what is stored, but for the encoders. Raises StorageError."""
        self.store.fetch(lambda name: name == RECORD or name.endswith((_RUN, _OUTCOMES)))

    def write_record(self, record: ComparisonRecord) -> None:
        """comparison.json, without any secret."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WrongFolderError(
                f"Cannot make {self.folder} ({error.strerror}): set another {option('out')}."
            ) from error
        files.write_json(self.folder / RECORD, redact(asdict(record)))
        self.store.publish(RECORD)

    def read_record(self) -> ComparisonRecord:
        """Raises RunFolderError if the file is missing, damaged or of something else."""
        path = self.folder / RECORD
        try:
            return TypeAdapter(ComparisonRecord).validate_json(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            raise WrongFolderError(
                f"{self} is not a comparison: it has no {RECORD}. Give the folder that mimic-ray "
                f"compare wrote as its {option('out')}."
            ) from None
        except ValidationError as error:
            raise RunFolderError(
                f"{path} is damaged ({error.errors()[0]['msg']}): restore it from a copy, or "
                f"start again with another {option('out')}."
            ) from None

    def write_run(self, run: str, facts: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
        """The encoder (no weights: there is none) and, last, the facts of a run that ended."""
        (self.folder / run).mkdir(parents=True, exist_ok=True)
        if weights:
            # Copies: tied weights share memory, which safetensors refuses.
            state = {k: v.detach().cpu().contiguous().clone() for k, v in weights.items()}
            files.write_bytes(self.folder / run / _STUDENT, save(state))
            self.store.publish(f"{run}/{_STUDENT}")
        files.write_json(self.folder / run / _RUN, facts)
        self.store.publish(f"{run}/{_RUN}")

    def read_run(self, run: str) -> dict[str, Any] | None:
        """The facts of a run, None if it did not end. Raises RunFolderError for a damaged file."""
        path = self.folder / run / _RUN
        try:
            facts: dict[str, Any] = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError:
            raise RunFolderError(
                f"{path} is damaged: delete {path.parent} and run the command again with "
                f"{option('resume', True)}, which repeats that run."
            ) from None
        return facts

    def ended_runs(self) -> int:
        """How many runs ended, with an encoder or without."""
        return sum(1 for _ in (self.folder / _RUNS).glob(f"*/*/*/{_RUN}"))

    def read_weights(self, run: str) -> dict[str, Tensor]:
        """The encoder of a run that ended with one. Raises RunFolderError if it is missing."""
        path = self.folder / run / _STUDENT
        if not path.exists() and not self.store.fetch_file(f"{run}/{_STUDENT}"):
            raise RunFolderError(
                f"{path} is missing: delete {path.parent} and run the command again with "
                f"{option('resume', True)}, which repeats that run."
            )
        return load_file(path)

    def write_outcomes(self, run: str, of: str, arrays: Mapping[str, NDArray[np.uint8]]) -> None:
        """Outcomes by name, measured as the text `of` says."""
        buffer = io.BytesIO()
        content: dict[str, Any] = {**arrays, "of": np.array(of)}
        np.savez_compressed(buffer, **content)
        (self.folder / run).mkdir(parents=True, exist_ok=True)
        files.write_bytes(self.folder / run / _OUTCOMES, buffer.getvalue())
        self.store.publish(f"{run}/{_OUTCOMES}")

    def read_outcomes(self, run: str, of: str) -> dict[str, NDArray[np.uint8]]:
        """What was stored for the same text `of`, {} if nothing was."""
        path = self.folder / run / _OUTCOMES
        if not path.exists():
            return {}
        with np.load(path, allow_pickle=False) as stored:
            if str(stored["of"]) != of:
                return {}
            return {name: stored[name] for name in stored.files if name != "of"}

    def publish(self, *names: str) -> None:
        """Stores files of `folder`."""
        self.store.publish(*names)

    def close(self) -> None:
        """Ends the use of the comparison by this process."""
        self.store.close()


def run_name(defence: str, strength: float | None, seed: int) -> str:
    """The folder of a run: `runs/nad/500/seed-0`."""
    words = re.sub(r"[^A-Za-z0-9_.=,-]+", "-", Path(defence).name if "/" in defence else defence)
    if words != defence or is_user_code(defence):
        # Two names may have the same words.
        words += "-" + hashlib.sha256(defence.encode()).hexdigest()[:6]
    return f"{_RUNS}/{words}/{'own' if strength is None else f'{strength:g}'}/seed-{seed}"


def open_comparison(location: str | Path, owner: str = "driver") -> ComparisonStore:
    """The comparison at a path or an address; `owner` as in `open_store`.

    Raises UsageError or StorageError.
    """
    return ComparisonStore(open_store(location, owner))
