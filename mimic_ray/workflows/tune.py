"""The search: which recipe purifies this encoder best, judged from clean images alone."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from mimic_ray.base.errors import (
    DataError,
    MimicError,
    StoppedError,
    TrainingError,
    UnknownNameError,
    UsageError,
)
from mimic_ray.base.registry import near_names
from mimic_ray.base.signals import stop_requests
from mimic_ray.base.text import count
from mimic_ray.data.source import ImageSource, open_images
from mimic_ray.distributed.tune import Progress as SearchProgress
from mimic_ray.distributed.tune import Resources, Search, check_here, search_on_ray
from mimic_ray.encoders.load import Loaded, load_checkpoint
from mimic_ray.encoders.taps import chosen_taps
from mimic_ray.method.recipe import Recipe, check_workers, parse_recipe
from mimic_ray.report.study_report import write_study_report
from mimic_ray.runs.progress import Progress
from mimic_ray.runs.recipe_file import load_recipe, load_search, write_recipe
from mimic_ray.runs.study import (
    StudyFolder,
    StudyRecord,
    check_study,
    read_study,
    read_trials,
    write_study,
    write_table,
)
from mimic_ray.runs.trial_inputs import TrialInputs
from mimic_ray.search.front import choose, pareto_front
from mimic_ray.search.kept_layers import distinct_thresholds
from mimic_ray.search.space import (
    Dimension,
    Space,
    changed,
    check_space,
    default_space,
    parse_dimension,
)
from mimic_ray.search.trial import Trial
from mimic_ray.workflows.tune_inputs import Oracle, prepare

TRACKERS = ("mlflow", "wandb")
# Views that come again, so that the teacher is asked once for all trials.
_FIXED_VIEWS = 4
# Keys that decide the scores of a profile, not only what is done with them.
_ESTIMATE = {
    f"mutual_information.{name}"
    for name in ("of", "estimator", "images", "epochs", "noise", "taps")
}


@dataclass(frozen=True)
class Tuned:
    """A study that came to its end. `best` is the file of the chosen recipe."""

    study: Path
    best: Path
    report: Path
    chosen: Trial
    front: list[Trial]
    trials: list[Trial]
    record: StudyRecord


def tune(
    encoder: str,
    teacher: str | Path,
    data: str | Path,
    out: str | Path,
    *,
    recipe: str = "default",
    settings: Iterable[str] = (),
    search: Iterable[str] = (),
    only_these: bool = False,
    trials: int = 16,
    held_out: float = 0.2,
    seed: int = 0,
    resources: Resources | None = None,
    resume: bool = False,
    early_stopping: bool = True,
    failed_share: float = 0.25,
    untouched: Sequence[str | Path] = (),
    oracle: Oracle | None = None,
    trackers: Sequence[str] = (),
    device: str = "auto",
    threads: int = 0,
    tell: Callable[[Progress], None] = lambda progress: None,
    watch: Callable[[SearchProgress, int], None] = lambda progress, planned: None,
) -> Tuned:
    """Searches recipes for `teacher` in a study folder at `out`. See `mimic-ray tune --help`.

    `search` adds dimensions (`key=loguniform(1e-4,1e-2)`) to the default ones, or with `only_these`
    replaces them; `settings` fix keys. `watch` is told how trials stand and how many are planned.
    Raises a MimicError before any work where the mistake can be seen; StoppedError after Ctrl-C or
    SIGTERM, with every ended trial kept; TrainingError when too many trials failed.
    """
    resources = resources or Resources()
    asked = recipe, list(settings), list(search), only_these
    _Wanted.of(*asked).space(None)  # finds mistakes in it before anything is read
    _check(trials, failed_share, trackers)
    folder = StudyFolder(Path(out))
    earlier = read_study(folder) if resume else None
    if earlier is None:
        StudyFolder.require_free(out)
    if resources.address is None:
        check_here(resources)
    loaded = load_checkpoint(teacher, encoder)
    wanted = _Wanted.of(*asked, loaded.encoder.spec.input_size)
    chosen_taps(loaded.encoder.spec, wanted.base.mutual_information.taps)
    source = open_images(data)
    _check_images(source, wanted.base)
    check_workers(wanted.base, resources.workers)
    if earlier:
        now = _record(encoder, teacher, data, loaded, source, wanted, held_out, oracle, seed)
        same_layers = replace(now, space=wanted.space(earlier.shares).described())
        check_study(earlier, same_layers)
        ended = [trial for trial in read_trials(folder) if trial.status != "running"]
        if len(ended) >= trials and any(trial.scored for trial in ended):
            return _finish(folder, earlier.ended("finished", 0.0), ended)  # nothing left to try

    started = time.monotonic()

    def get_ready() -> tuple[Search, TrialInputs]:
        tell(Progress("start", 1, 1))
        prepared = prepare(
            encoder,
            loaded,
            source,
            str(Path(data).absolute()) if Path(data).exists() else str(data),
            wanted.base,
            trials=trials,
            with_attention=wanted.may_attend(),
            held_out=held_out,
            untouched=untouched,
            oracle=oracle,
            device=device,
            threads=threads,
            tell=tell,
        )
        shares = earlier.shares if earlier else prepared.shares
        space = wanted.space(shares)
        record = earlier or replace(
            _record(encoder, teacher, data, loaded, source, wanted, held_out, oracle, seed),
            taps=prepared.taps,
            shares=shares,
            space=space.described(),
            teacher_forwards=prepared.teacher_forwards,
        )
        record = replace(
            record,
            trials=trials,
            status="running",
            error="",
            ended_at="",
            compute=prepared.compute.facts(),
            workers=resources.workers,
        )
        if earlier:
            write_study(folder, record)
        else:
            folder.create(record)
        found = Search(
            encoder=encoder,
            space=space,
            base=wanted.base,
            shares=None if wanted.own_profiles() else shares,
            trials=trials,
            seed=seed,
            failed_share=failed_share,
            early_stopping=early_stopping,
            device=device,
            threads=threads or resources.cpus_per_worker,
            trackers=trackers,
        )
        return found, prepared.inputs

    with stop_requests() as requests:
        try:
            known = read_trials(folder) if earlier else []
            tell(Progress("start", 0, 1))
            search_on_ray(
                folder,
                get_ready,
                resources,
                known,
                tell=lambda progress: watch(progress, trials),
                stop=lambda: requests.count,
            )
        except BaseException as error:
            _note_failure(folder, earlier is None, error, time.monotonic() - started)
            raise
        record = read_study(folder)
        found = read_trials(folder)
        ended = [trial for trial in found if trial.status != "running"]
        seconds = time.monotonic() - started
        if requests.count and len(ended) < trials:
            write_study(folder, record.ended("stopped", seconds))
            raise StoppedError(
                f"Stopped after {len(ended)} of {trials} trials, which are kept, as is every "
                "committed step of the others. Go on with the same command and --resume.",
                requests.signal_number,
            )
    failed = [trial for trial in ended if trial.status == "failed"]
    if len(failed) > failed_share * trials or not any(trial.scored for trial in ended):
        failure = _failures(failed, failed_share, trials)
        write_study(folder, record.ended("failed", seconds, failure.message))
        raise failure
    return _finish(folder, record.ended("finished", seconds), ended)


def _finish(folder: StudyFolder, record: StudyRecord, trials: list[Trial]) -> Tuned:
    """Everything that is made of the ended trials; "finished" is written last."""
    front, chosen = pareto_front(trials), choose(trials)
    write_table(folder, trials, chosen.id, {trial.id for trial in front})
    best = load_recipe(str(folder.trial(chosen.id).recipe))
    write_recipe(
        folder.best,
        best,
        f"mimic-ray purify --encoder {record.encoder} --teacher {record.teacher} "
        f"--data {record.data} --recipe {folder.best.name} --out purified\n"
        f"Trial {chosen.number} of {len(trials)}: fidelity {chosen.fidelity:.4f}, suspicion "
        f"{chosen.suspicion:.4f}" + (", chosen blind in an oracle study" if record.oracle else ""),
    )
    report = write_study_report(folder.path, vars(record), trials, chosen, folder.best.read_text())
    write_study(folder, record)
    return Tuned(folder.path, folder.best, report, chosen, front, trials, record)


@dataclass(frozen=True)
class _Wanted:
    """The base recipe, and what of it is searched."""

    base: Recipe
    dimensions: Sequence[Dimension]
    pinned: Sequence[str]
    only_these: bool

    @classmethod
    def of(
        cls,
        recipe: str,
        settings: list[str],
        search: list[str],
        only_these: bool,
        side: int | None = None,
    ) -> _Wanted:
        base, in_file = load_search(recipe, settings, side)
        pinned = [setting.partition("=")[0].strip() for setting in settings]
        entries = {**in_file, **dict(map(_entry, search))}
        dimensions = [parse_dimension(key, text) for key, text in entries.items()]
        if base.views.asymmetric and not base.views.fixed and "views.fixed" not in pinned:
            content = base.model_dump(mode="json")
            content["views"]["fixed"] = _FIXED_VIEWS
            base = parse_recipe(content)
        return cls(base, dimensions, pinned, only_these)

    def space(self, shares: Sequence[float] | None) -> Space:
        """Checked. `shares` of the profile decide the sets of kept layers; None: not known yet."""
        thresholds = distinct_thresholds(shares) if shares else [0.0]
        default = Space(()) if self.only_these else default_space(self.base, thresholds)
        space = changed(default, self.dimensions, self.pinned)
        check_space(space, self.base.model_dump(mode="json"))
        return space

    def may_attend(self) -> bool:
        """Whether a trial may have an attention term."""
        searched = "loss.attention" in self.space(None).described()
        return searched or self.base.loss.attention > 0

    def own_profiles(self) -> bool:
        """Whether trials estimate mutual information each in its way."""
        return any(dimension.key in _ESTIMATE for dimension in self.dimensions)


def _entry(text: str) -> tuple[str, str]:
    key, equals, values = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(
            f'"{text}" is no search: write KEY=VALUES, for example '
            "training.learning_rate=loguniform(1e-4,1e-2)."
        )
    return key.strip(), values


def _record(
    encoder: str,
    teacher: str | Path,
    data: str | Path,
    loaded: Loaded,
    source: ImageSource,
    wanted: _Wanted,
    held_out: float,
    oracle: Oracle | None,
    seed: int,
) -> StudyRecord:
    return StudyRecord(
        encoder=encoder,
        teacher=str(teacher),
        teacher_sha256=loaded.checkpoint.sha256,
        data=str(data),
        data_fingerprint=source.fingerprint,
        images=len(source),
        held_out=held_out,
        recipe=wanted.base.model_dump(mode="json"),
        space={},
        taps=[],
        shares=[],
        trials=0,
        seed=seed,
        oracle=oracle.described() if oracle else {},
        compute={},
    )


def _check(trials: int, failed_share: float, trackers: Sequence[str]) -> None:
    if trials < 1:
        raise UsageError(f"--trials {trials}: a search needs at least one.")
    if not 0 <= failed_share <= 1:
        raise UsageError(f"--failed-share {failed_share:g} is no share: give 0 to 1.")
    for tracker in trackers:
        if tracker not in TRACKERS:
            raise UnknownNameError("tracker", tracker, near_names(tracker, TRACKERS) or TRACKERS)
        if find_spec(tracker) is None:
            raise UsageError(
                f"--track {tracker} needs the package {tracker}, which is not installed here: "
                f"pip install {tracker}, or leave it out; TensorBoard files are always written."
            )


def _check_images(source: ImageSource, base: Recipe) -> None:
    batch = base.training.batch
    if len(source) < batch:
        raise DataError(
            f"{source.location} holds {count(len(source), 'image')}, fewer than one batch of "
            f"{batch}: give more images, or --set training.batch=N."
        )


def _failures(failed: Sequence[Trial], share: float, planned: int) -> TrainingError:
    """One sentence with the errors and the settings that led to them."""
    shown = "; ".join(f"trial {t.number} ({_settings(t.settings)}): {t.error}" for t in failed[:5])
    more = f"; and {len(failed) - 5} more, see trials/*/trial.json" if len(failed) > 5 else ""
    return TrainingError(
        f"{len(failed)} of {planned} trials failed, more than --failed-share {share:g}: "
        f"{shown}{more}"
    )


def _settings(settings: Mapping[str, object]) -> str:
    return ", ".join(
        f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}"
        for key, value in settings.items()
    )


def _note_failure(folder: StudyFolder, new: bool, error: BaseException, seconds: float) -> None:
    """What began is kept and says how it ended; a study without a record is removed."""
    # The error that is on its way must not be hidden by another.
    with suppress(MimicError, OSError):
        if not folder.record.exists():
            if new:
                shutil.rmtree(folder.path, ignore_errors=True)
            return
        message = (
            error.message if isinstance(error, MimicError) else f"{type(error).__name__}: {error}"
        )
        write_study(folder, read_study(folder).ended("failed", seconds, message))
