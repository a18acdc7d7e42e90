"""Puts an evaluation into a finished run: evaluation.json, its plot, and the model card."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mimic_ray.base import files
from mimic_ray.base.errors import RunFolderError, UsageError, option
from mimic_ray.base.storage_address import is_remote
from mimic_ray.evaluation.results import Evaluation
from mimic_ray.report.run_report import write_report
from mimic_ray.store import checksums
from mimic_ray.store.run_record import read_record
from mimic_ray.store.run_store import RunStore, open_run


@contextmanager
def finished_run(location: str | Path) -> Iterator[RunStore]:
    """The run at `location`, fetched. Raises RunFolderError unless it is finished."""
    run = open_run(location, "evaluate")
    try:
        run.fetch(checkpoint=False)
        status = read_record(run.folder.record).status
        if status != "finished":
            raise RunFolderError(
                f"{run} is {status}, not finished: {option('into')} needs a run with a purified "
                "encoder."
            )
        yield run
    finally:
        run.store.close()


def write_into(run: RunStore, evaluation: Evaluation) -> None:
    """Writes the evaluation, draws the plots and the card again, and stores what changed."""
    folder = run.folder
    files.write_json(folder.evaluation, evaluation.to_json())
    address = str(run) if run.store.is_remote else ""
    write_report(folder, read_record(folder.record), address)
    written = sorted(path.name for path in folder.path.glob(f"{folder.evaluation.stem}.*"))
    run.store.publish(*written, folder.card.name, checksums.NAME)


def check_into(into: str | Path | None, evaluated: Iterable[str | Path]) -> None:
    """Raises RunFolderError or StorageError before any work if `into` is not a finished run, and
    UsageError if it is not among the evaluated ones: its card must not show figures of others."""
    if into is None:
        return
    if not is_remote(into) and not Path(into).is_dir():
        raise RunFolderError(f"There is no run at {into}: give {option('into')} a run folder.")
    with finished_run(into):
        pass
    if not any(_is_part_of(path, into) for path in evaluated):
        raise UsageError(
            f"{option('into', str(into))} is not among the evaluated encoders, so its model card "
            f"would show figures of others: evaluate it too, as in purified={into}."
        )


def _is_part_of(path: str | Path, run: str | Path) -> bool:
    """Whether a path is a run or lies in its folder, as its export does."""
    if is_remote(path) or is_remote(run):
        return f"{path}/".startswith(f"{str(run).rstrip('/')}/")
    return Path(path).resolve().is_relative_to(Path(run).resolve())
