"""Puts an evaluation into a finished run: evaluation.json, its plot, and the model card."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mimic_ray.base import files
from mimic_ray.base.errors import RunFolderError, option
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


def check_into(into: str | Path | None) -> None:
    """Raises RunFolderError or StorageError before any work if `into` is not a finished run."""
    if into is None:
        return
    if not is_remote(into) and not Path(into).is_dir():
        raise RunFolderError(f"There is no run at {into}: give {option('into')} a run folder.")
    with finished_run(into):
        pass
