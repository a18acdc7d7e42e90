"""The search: which recipe purifies this encoder best, judged from clean images alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from mimic_ray.base import files
from mimic_ray.base.errors import (
    RESUME_ADVICE,
    DataError,
    MimicError,
    StoppedError,
    TrainingError,
    UnknownNameError,
    UsageError,
)
from mimic_ray.base.locations import absolute
from mimic_ray.base.progress import Progress, ProgressCallback, ignore_progress
from mimic_ray.base.registry import near_names
from mimic_ray.base.resources import Resources, this_machine, trial_slots
from mimic_ray.base.signals import StopRequests, stop_requests
from mimic_ray.base.text import count
from mimic_ray.data.image_source import ImageSource, open_images
from mimic_ray.distributed.tuner import Progress as SearchProgress
from mimic_ray.distributed.tuner import Search, search_on_ray
from mimic_ray.encoders.load import Loaded, load_checkpoint
from mimic_ray.encoders.taps import chosen_taps
from mimic_ray.method.recipe import Recipe, check_workers
from mimic_ray.report.study_report import write_study_report
from mimic_ray.search.front import choose, pareto_front
from mimic_ray.search.trial import Trial
from mimic_ray.store.recipe_file import write_recipe
from mimic_ray.store.study_folder import (
    StudyRecord,
    check_study,
    read_study,
    read_trials,
    write_table,
)
from mimic_ray.store.study_store import StudyPlace, study_place
from mimic_ray.workflows.prepare_search import Oracle, Prepared, prepare
from mimic_ray.workflows.python_call import python_call
from mimic_ray.workflows.search_request import Wanted

TRACKERS = ("mlflow", "wandb")


@dataclass(frozen=True)
class Tuned:
    """A study that came to its end. `best` is the file of the chosen recipe.

    All three are paths, or addresses where `out` was one.
    """

    study: Path | str
    best: Path | str
    report: Path | str
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
    recipe: str | Path | Recipe = "auto",
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
    on_progress: ProgressCallback = ignore_progress,
    watch: Callable[[SearchProgress, int], None] = lambda progress, planned: None,
    command: str | None = None,
) -> Tuned:
    """Searches the recipe that purifies an encoder best, from clean, unlabelled images alone.

    Each trial is one purification, judged on held-out images by two scores: fidelity, how well the
    student keeps the teacher's features, and suspicion, how much of a backdoor may be left.

    Args:
        encoder: Architecture, as for `purify`.
        teacher: Checkpoint file of the suspect encoder, or its address.
        data: Clean images, as for `purify`.
        out: The study folder to create, or its address.
        recipe: The recipe that trials change, as for `purify`.
        settings: Changes to it that hold for every trial, each `KEY=VALUE`.
        search: More keys to search, each as in `training.learning_rate=loguniform(1e-4,1e-2)`;
            also `uniform(a,b)`, `int(a,b)`, `choice(a,b,...)`, `zero_or_uniform(a,b)` and
            `zero_or_loguniform(a,b)`.
        only_these: Search only the keys in `search`, and not the default ones.
        trials: Number of trials, with those of a resumed study.
        held_out: Share of the images that scores are measured on; trials never train on them.
        seed: Of the search itself.
        resources: Workers, CPUs and GPUs of one trial, and the cluster.
        resume: Continue the study in `out`; finished trials are kept.
        early_stopping: Stop unpromising trials at 1/4 and 1/2 of their steps.
        failed_share: The search fails when a larger share of the trials has failed.
        untouched: Checkpoints of the same architecture that no attacker touched, to compare with.
        oracle: Labels and the trigger, to measure ACC and ASR as well. For research: the search
            does not look at them.
        trackers: `mlflow` or `wandb`, in addition to TensorBoard files.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        threads: CPU threads of a worker; 0 uses all that it has.
        on_progress: Called with a `Progress` now and then, until the first trial starts.
        watch: Called with the state of all trials and the number planned.
        command: The command that study.json records; by default this call.

    Returns:
        `best`, the file of the chosen recipe; `chosen`, its trial; `front`, the trials that no
        other beats in both scores; `trials`, all; `report`, a page about the study.

    Raises:
        MimicError: UsageError, RecipeError, CheckpointError, DataError, RunFolderError,
            StorageError or ResourceError, before any trial, for what cannot be used.
        TrainingError: Too many trials failed.
        StoppedError: After Ctrl-C or SIGTERM; every finished trial is kept.

    Example:
        found = mimic_ray.tune("resnet50", "suspect.pth", "images", "study", trials=2)
        mimic_ray.purify("resnet50", "suspect.pth", "images", "purified", recipe=found.best)
    """
    settings, search = list(settings), list(search)
    command = command or python_call(tune, locals())
    resources = resources or Resources()
    asked = recipe, settings, search, only_these
    Wanted.of(*asked).space(None)  # finds mistakes in it before anything is read
    _check(trials, failed_share, trackers)
    with closing(study_place(out, "driver")) as place:
        earlier = _earlier(place) if resume else None
        if earlier is None:
            place.require_free()
        if resources.address is None:
            # Before Ray starts, which takes seconds.
            here = [this_machine()]
            trial_slots(here, resources.for_trials(here))
        loaded = load_checkpoint(teacher, encoder)
        wanted = Wanted.of(*asked, loaded.encoder.spec.input_size)
        chosen_taps(loaded.encoder.spec, wanted.base.mutual_information.taps)
        source = open_images(data)
        _check_images(source, wanted.base)
        check_workers(wanted.base, resources.workers)
        record = _record(
            command, encoder, teacher, data, loaded, source, wanted, held_out, oracle, seed
        )
        if earlier:
            same_layers = replace(record, space=wanted.space(earlier.shares).described())
            check_study(earlier, same_layers)
            ended = _ended(read_trials(place.folder))
            if len(ended) >= trials and any(trial.scored for trial in ended):
                return _finish(place, earlier.ended("finished", 0.0), ended)  # nothing left to try

        def begin(made: Prepared) -> Search:
            """The study's record, and what the trials are taken from."""
            shares = earlier.shares if earlier else made.shares
            space = wanted.space(shares)
            begun = earlier or replace(
                record,
                taps=made.taps,
                shares=shares,
                space=space.described(),
                teacher_forwards=made.teacher_forwards,
            )
            begun = replace(
                begun,
                trials=trials,
                status="running",
                error="",
                ended_at="",
                compute=made.compute.facts(),
                workers=resources.workers,
            )
            if earlier:
                place.write_record(begun)
            else:
                place.create(begun)
            return Search(
                encoder=encoder,
                space=space,
                base=wanted.base,
                shares=None if wanted.own_profiles() else shares,
                trials=trials,
                seed=seed,
                failed_share=failed_share,
                early_stopping=early_stopping,
                device=device,
                threads=threads or resources.cpus_per_worker or 1,
                trackers=trackers,
            )

        make = partial(
            prepare,
            encoder,
            loaded,
            absolute(data),
            wanted.base,
            trials=trials,
            with_attention=wanted.may_attend(),
            held_out=held_out,
            untouched=untouched,
            oracle=oracle,
            device=device,
            threads=threads,
        )
        started = time.monotonic()
        with stop_requests() as requests:
            try:
                on_progress(Progress("start", 0, 1))
                with files.disk_errors(place.folder.record, RESUME_ADVICE):
                    search_on_ray(
                        place,
                        make,
                        begin,
                        resources,
                        read_trials(place.folder) if earlier else [],
                        prepares=on_progress,
                        on_progress=lambda progress: watch(progress, trials),
                        stop=lambda: requests.count,
                    )
            except BaseException as error:
                _note_failure(place, earlier is None, error, time.monotonic() - started)
                if isinstance(error, StoppedError):
                    raise StoppedError(error.template, requests.signal_number) from error
                raise
        return _outcome(place, requests, trials, failed_share, time.monotonic() - started)


def _earlier(place: StudyPlace) -> StudyRecord:
    """The record of the study that lies there. Raises RunFolderError."""
    place.fetch()
    with place.named():
        return read_study(place.folder)


def _ended(trials: Iterable[Trial]) -> list[Trial]:
    return [trial for trial in trials if trial.status != "running"]


def _outcome(
    place: StudyPlace, requests: StopRequests, trials: int, failed_share: float, seconds: float
) -> Tuned:
    """What came of the trials. Raises StoppedError, TrainingError, with that in the record."""
    record = read_study(place.folder)
    ended = _ended(read_trials(place.folder))
    if requests.count and len(ended) < trials:
        place.write_record(record.ended("stopped", seconds))
        raise StoppedError(
            f"Stopped after {len(ended)} of {trials} trials, which are kept, as is every "
            "committed step of the others. Go on with the same command and --resume.",
            requests.signal_number,
        )
    failed = [trial for trial in ended if trial.status == "failed"]
    if len(failed) > failed_share * trials or not any(trial.scored for trial in ended):
        failure = _failures(failed, failed_share, trials)
        place.write_record(record.ended("failed", seconds, failure.message))
        raise failure
    return _finish(place, record.ended("finished", seconds), ended)


def _finish(place: StudyPlace, record: StudyRecord, trials: list[Trial]) -> Tuned:
    """Everything that is made of the ended trials; "finished" is written last."""
    folder = place.folder
    front, chosen = pareto_front(trials), choose(trials)
    write_table(folder, trials, chosen.id, {trial.id for trial in front})
    write_recipe(
        folder.best,
        place.read_recipe(chosen.id),
        f"mimic-ray purify --encoder {record.encoder} --teacher {record.teacher} "
        f"--data {record.data} --recipe {folder.best.name} --out purified\n"
        f"Trial {chosen.number} of {len(trials)}: fidelity {chosen.fidelity:.4f}, suspicion "
        f"{chosen.suspicion:.4f}" + (", chosen blind in an oracle study" if record.oracle else ""),
    )
    report = write_study_report(folder.path, vars(record), trials, chosen, folder.best.read_text())
    place.put_results()
    place.write_record(record)
    best, shown = place.at(folder.best.name), place.at(report.name)
    return Tuned(place.at(), best, shown, chosen, front, trials, record)


def _record(
    command: str,
    encoder: str,
    teacher: str | Path,
    data: str | Path,
    loaded: Loaded,
    source: ImageSource,
    wanted: Wanted,
    held_out: float,
    oracle: Oracle | None,
    seed: int,
) -> StudyRecord:
    return StudyRecord(
        command=command,
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


def _note_failure(place: StudyPlace, new: bool, error: BaseException, seconds: float) -> None:
    """What began is kept and says how it ended; a study without a record is removed."""
    # The error that is on its way must not be hidden by another.
    place.hurry()
    with suppress(MimicError, OSError):
        if not place.folder.record.exists():
            if new:
                place.remove()
            return
        message = (
            error.message if isinstance(error, MimicError) else f"{type(error).__name__}: {error}"
        )
        place.write_record(read_study(place.folder).ended("failed", seconds, message))
