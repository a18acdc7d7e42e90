"""The end of a search: its results and report, or its error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mimic_ray.base.errors import MimicError, StoppedError, TrainingError, option
from mimic_ray.base.frames import to_frame
from mimic_ray.base.signals import StopRequests
from mimic_ray.report.study_report import purify_command, write_study_report
from mimic_ray.search.front import choose, pareto_front
from mimic_ray.search.trial import Trial
from mimic_ray.search.trial_rows import trial_rows
from mimic_ray.store.recipe_file import write_recipe
from mimic_ray.store.study_folder import StudyRecord, read_study, read_trials, write_table
from mimic_ray.store.study_store import StudyStore

_SHOWN_FAILURES = 5


@dataclass(frozen=True)
class Tuned:
    """A finished study. `best` is the file of the chosen recipe.

    `study`, `best` and `report` are paths, or addresses if `out` was one.
    """

    study: Path | str
    best: Path | str
    report: Path | str
    chosen: Trial
    front: list[Trial]
    trials: list[Trial]
    record: StudyRecord

    def to_frame(self) -> Any:
        """All trials as a pandas DataFrame, or a pyarrow Table if pandas is not installed: a column
        for each score and each searched key."""
        return to_frame(trial_rows(self.trials, self.chosen.id, [each.id for each in self.front]))


def ended_trials(study: StudyStore) -> list[Trial]:
    return [trial for trial in read_trials(study.folder) if trial.status != "running"]


def is_exhausted(ended: Sequence[Trial], planned: int) -> bool:
    return len(ended) >= planned and any(trial.scored for trial in ended)


def conclude(
    study: StudyStore, requests: StopRequests, planned: int, failed_share: float, seconds: float
) -> Tuned:
    """Writes the results of the ended trials and records the end of the search.

    Raises StoppedError if the search was stopped, TrainingError if too many trials failed.
    """
    record, ended = read_study(study.folder), ended_trials(study)
    if requests.count and len(ended) < planned:
        study.write_record(record.ended("stopped", seconds))
        raise StoppedError(
            f"Stopped after {len(ended)} of {planned} trials. They and the last checkpoint of the "
            f"others are kept: continue with the same command and {option('resume', True)}.",
            requests.signal_number,
        )
    failed = [trial for trial in ended if trial.status == "failed"]
    if len(failed) > failed_share * planned or not any(trial.scored for trial in ended):
        failure = _too_many_failed(failed, failed_share, planned)
        study.write_record(record.ended("failed", seconds, failure.message))
        raise failure
    return finish_study(study, record.ended("finished", seconds), ended)


def finish_study(study: StudyStore, record: StudyRecord, trials: list[Trial]) -> Tuned:
    """Writes the table, the chosen recipe, the report, and last the status "finished"."""
    folder = study.folder
    front, chosen = pareto_front(trials), choose(trials)
    write_table(folder, trials, chosen.id, {trial.id for trial in front})
    write_recipe(
        folder.best,
        study.read_recipe(chosen.id),
        f"{purify_command(vars(record), folder.best.name)}\n"
        f"Trial {chosen.number} of {len(trials)}: {chosen.objectives_in_words()}"
        + (", chosen without the oracle's measurements" if record.oracle else ""),
    )
    report = write_study_report(folder.path, vars(record), trials, chosen, folder.best.read_text())
    study.publish_results()
    study.write_record(record)
    best, shown = study.store.location(folder.best.name), study.store.location(report.name)
    return Tuned(study.store.location(), best, shown, chosen, front, trials, record)


def record_failure(study: StudyStore, is_new: bool, error: BaseException, seconds: float) -> None:
    """Records the error. Removes a new study that has no record yet."""
    # Errors in here must not hide the error that is being raised.
    study.store.shorten_timeouts()
    with suppress(MimicError, OSError):
        if not study.folder.record.exists():
            if is_new:
                study.store.clear()
            return
        message = f"{type(error).__name__}: {error}"
        if isinstance(error, MimicError):
            message = error.message
        study.write_record(read_study(study.folder).ended("failed", seconds, message))


def _too_many_failed(failed: Sequence[Trial], share: float, planned: int) -> TrainingError:
    """One sentence with the errors and the settings of their trials."""
    shown = "; ".join(
        f"trial {trial.number} ({_in_words(trial.settings)}): {trial.error}"
        for trial in failed[:_SHOWN_FAILURES]
    )
    more = len(failed) - _SHOWN_FAILURES
    rest = f"; and {more} more, see trials/*/trial.json" if more > 0 else ""
    limit = f"more than {option('failed_share', f'{share:g}')}"
    what = limit if len(failed) > share * planned else "and no other has a score"
    return TrainingError(f"{len(failed)} of {planned} trials failed, {what}: {shown}{rest}")


def _in_words(settings: Mapping[str, object]) -> str:
    return ", ".join(
        f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}"
        for key, value in settings.items()
    )
