"""SHA256SUMS of a finished run, as `sha256sum --check` reads it: no flipped bit goes unnoticed.

Checkpoints have their own sums (store/checkpoint.py), and so has run.json (store/run_record.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mimic_ray.base import files
from mimic_ray.base.errors import DamagedCheckpointError
from mimic_ray.base.text import plain

NAME = "SHA256SUMS"
# Changed after the end of a run, or sealed by themselves.
_NOT_LISTED = {NAME, "run.json", "progress.json", "metrics.jsonl", "ray.log"}


def write_sums(run: Path) -> None:
    """Of every file below `run` that is there for good, by rename."""
    lines = [
        f"{files.sha256(path)}  {path.relative_to(run).as_posix()}\n" for path in sorted(_kept(run))
    ]
    # A file name may be any bytes.
    files.write_bytes(run / NAME, "".join(lines).encode(errors="surrogateescape"))


def check_sums(run: Path, *names: str) -> None:
    """Compares these files, or all; a run without the list was made before there was one.

    Raises DamagedCheckpointError for the first that is not what was written.
    """
    if not (run / NAME).is_file():
        return
    content = (run / NAME).read_bytes().decode(errors="surrogateescape")
    for line in content.removesuffix("\n").split("\n"):
        expected, _, name = line.partition("  ")
        path = run / name
        if names and name not in names:
            continue
        if not path.is_file():
            raise DamagedCheckpointError(
                f"{plain(path)} is missing though {NAME} lists it: restore it from a copy."
            )
        if files.sha256(path) != expected:
            raise DamagedCheckpointError(
                f"{plain(path)} is damaged (its sha256 is not the one in {NAME}): restore it from "
                "a copy."
            )


def _kept(run: Path) -> Iterator[Path]:
    for path in run.rglob("*"):
        first = path.relative_to(run).parts[0]
        hidden = first.startswith(".") or ".tmp-" in path.name
        if path.is_file() and first not in _NOT_LISTED | {"checkpoints"} and not hidden:
            yield path
