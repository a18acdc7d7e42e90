"""Searches for the recipe that purifies an encoder best, judged by clean images only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from mimic_ray.base import user_code
from mimic_ray.base.argument_types import checked_arguments
from mimic_ray.base.devices import restores_threads
from mimic_ray.base.effort import Effort
from mimic_ray.base.errors import UsageError
from mimic_ray.base.progress import ProgressCallback, ignore_progress
from mimic_ray.base.resources import Resources, this_machine, trial_slots
from mimic_ray.data.encoded_images import ImageSource
from mimic_ray.data.image_source import open_announced, require_batch
from mimic_ray.distributed.cluster_address import find_cluster
from mimic_ray.encoders.taps import chosen_taps
from mimic_ray.execution.setup import cached_side
from mimic_ray.method.recipe import Recipe, check_recipe
from mimic_ray.planning.run_cost import CostCallback, ignore_cost
from mimic_ray.planning.worker_memory import worker_memory_bytes
from mimic_ray.search.search_progress import SearchProgressCallback, ignore_search_progress
from mimic_ray.store.study_folder import StudyRecord, check_study, read_study
from mimic_ray.store.study_store import StudyStore, open_study
from mimic_ray.weight_files.choice import chosen_encoder
from mimic_ray.weight_files.load import Loaded, load_checkpoint
from mimic_ray.workflows.clean_set import check_clean_set
from mimic_ray.workflows.cost_estimate import report_search_cost
from mimic_ray.workflows.python_call import python_call
from mimic_ray.workflows.run_search import Search, run_search
from mimic_ray.workflows.search_checks import check_oracle
from mimic_ray.workflows.search_request import (
    TRIALS,
    Oracle,
    SearchRequest,
    SearchSpec,
    search_spec,
)
from mimic_ray.workflows.study_outcome import (
    Tuned,
    ended_trials,
    finish_study,
    is_exhausted,
)


@checked_arguments
@restores_threads
def tune(
    encoder: str | None,
    teacher: str | Path,
    data: str | Path,
    out: str | Path,
    *,
    recipe: str | Path | Recipe = "auto",
    settings: Iterable[str] = (),
    search: Iterable[str] = (),
    only_these: bool = False,
    effort: Effort = "full",
    trials: int | None = None,
    held_out: float = 0.2,
    seed: int = 0,
    resources: Resources | None = None,
    resume: bool = False,
    early_stopping: bool = True,
    failed_share: float = 0.25,
    trusted: Sequence[str | Path] = (),
    oracle: Oracle | None = None,
    trackers: Sequence[str] = (),
    device: str = "auto",
    threads: int = 0,
    yes: bool = False,
    on_progress: ProgressCallback = ignore_progress,
    on_cost: CostCallback = ignore_cost,
    on_search_progress: SearchProgressCallback = ignore_search_progress,
    command: str | None = None,
) -> Tuned:
    """Searches for the recipe that purifies an encoder best, with clean, unlabelled images only.

    Each trial is one purification. Two scores on held-out images judge it: fidelity, how well the
    student preserves the teacher's features, and suspicion, how much of a backdoor may remain.

    Args:
        encoder: Architecture, as for `purify`; None finds it in the file.
        teacher: Checkpoint file of the suspect encoder, or its address.
        data: Clean images, as for `purify`.
        out: The study folder to create, or its address.
        recipe: The base recipe, as for `purify`.
        settings: Changes to it for all trials, each `KEY=VALUE`.
        search: Additional keys to search, such as
            `training.learning_rate=loguniform(1e-4,1e-2)`; also `uniform(a,b)`, `int(a,b)`,
            `choice(a,b,...)`, `zero_or_uniform(a,b)` and `zero_or_loguniform(a,b)`.
        only_these: Search only the keys in `search`, not the default ones.
        effort: `quick`: a third of the base recipe's steps, 8 trials, scores with less effort;
            `full`. Keys in `settings`, and `trials`, stay as they are given.
        trials: Number of trials, including those of a resumed study. None: 16, or 8 if quick.
        held_out: Share of the images that scores are measured on. Trials do not train on them.
        seed: Random seed of the search.
        resources: Workers, CPUs and GPUs of one trial, and the cluster.
        resume: Continue the study in `out`; finished trials are kept.
        early_stopping: Stop unpromising trials at 1/4 and 1/2 of their steps.
        failed_share: The search fails if a larger share of the trials has failed.
        trusted: Checkpoints of the same architecture without a backdoor, as references.
        oracle: Labels and the trigger, to measure ACC and ASR as well. For research: they do not
            influence the search.
        trackers: `mlflow` or `wandb`, in addition to TensorBoard files.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        threads: CPU threads of a worker; 0 uses all.
        yes: Start even if it takes more than a day or more memory than this machine has.
        on_progress: Called with a `Progress` regularly, until the first trial starts.
        on_cost: Called with the estimated `Cost` before a new search on this machine starts.
        on_search_progress: Called with the state of all trials, several times a second.
        command: The command to record in study.json; by default this call.

    Returns:
        `best`, the file of the chosen recipe; `chosen`, its trial; `front`, the Pareto front of
        both scores; `trials`, all trials; `report`, an HTML page about the study. `to_frame()`
        gives the trials as a table.

    Raises:
        MimicError: UsageError, RecipeError, CheckpointError, DataError, RunFolderError,
            StorageError or ResourceError for invalid arguments and inputs, before any trial.
        TrainingError: Too many trials failed.
        StoppedError: Ctrl-C or SIGTERM; finished trials are kept.

    Example:
        found = mimic_ray.tune("resnet50", "suspect.pth", "images", "study", trials=2)
        mimic_ray.purify("resnet50", "suspect.pth", "images", "purified", recipe=found.best)
    """
    settings, search = list(settings), list(search)
    command = command or python_call(tune, locals())
    encoder = chosen_encoder(teacher, encoder)
    trials = TRIALS[effort] if trials is None else trials
    request = SearchRequest(
        encoder=encoder,
        teacher=str(teacher),
        data=str(data),
        recipe=recipe,
        settings=settings,
        search=search,
        only_these=only_these,
        effort=effort,
        trials=trials,
        held_out=held_out,
        seed=seed,
        resources=resources or Resources(),
        early_stopping=early_stopping,
        failed_share=failed_share,
        trusted=list(trusted),
        oracle=oracle,
        trackers=list(trackers),
        device=device,
        threads=threads,
    )
    request.check()
    if request.resources.address is not None:
        find_cluster(request.resources.address)
    spec = search_spec(request)
    with closing(open_study(out, "driver")) as study:
        earlier = _earlier_record(study) if resume else None
        if earlier is None:
            study.require_free()
        if request.resources.address is None:
            # On a cluster, they are opened where a trial runs.
            check_oracle(request)
        loaded = load_checkpoint(teacher, encoder)
        source = open_announced(data)
        _check_fit(loaded, source, spec.base, request.resources)
        _check_views(spec, loaded.encoder.spec.input_size)
        check_clean_set(source, loaded.encoder)
        request = replace(request, worker_memory=_worker_memory(request, spec.base))
        record = _new_record(command, request, spec, loaded, source)
        if earlier is not None:
            _check_same_study(earlier, record, spec)
            ended = ended_trials(study)
            if is_exhausted(ended, trials):
                return finish_study(study, earlier.ended("finished", 0.0), ended)
            record = earlier
        elif request.resources.address is None:
            cost = report_search_cost(request, spec, len(source), on_cost, yes)
            record = replace(record, cost=cost.to_json())
        task = Search(request, spec, loaded, study, record, is_new=earlier is None)
        return run_search(task, on_progress, on_search_progress)


def _earlier_record(study: StudyStore) -> StudyRecord:
    """The record of the study to continue. Raises RunFolderError."""
    study.fetch()
    with study.store.errors_at_location():
        return read_study(study.folder)


def _new_record(
    command: str, request: SearchRequest, spec: SearchSpec, loaded: Loaded, source: ImageSource
) -> StudyRecord:
    return StudyRecord(
        command=command,
        encoder=request.encoder,
        teacher=request.teacher,
        teacher_sha256=loaded.checkpoint.sha256,
        data=request.data,
        data_fingerprint=source.fingerprint,
        images=len(source),
        left_out=dict(source.left_out),
        held_out=request.held_out,
        recipe=spec.base.model_dump(mode="json"),
        space={},
        taps=[],
        shares=[],
        trials=0,
        seed=request.seed,
        oracle=request.oracle.described() if request.oracle else {},
        effort=request.effort,
        compute={},
        user_code=user_code.checksums([request.encoder, *spec.user_members()]),
    )


def _check_same_study(earlier: StudyRecord, record: StudyRecord, spec: SearchSpec) -> None:
    """Raises RunFolderError if the study in the folder has other settings."""
    space = spec.space(earlier.shares).described()
    check_study(earlier, replace(record, space=space))


def _worker_memory(request: SearchRequest, base: Recipe) -> int:
    """0 if only one trial fits anyway."""
    resources = request.resources
    if resources.address is None:
        here = [this_machine()]
        if trial_slots(here, resources.for_trials(here)) == 1:
            return 0
    return worker_memory_bytes(request.encoder, base, resources.workers)


def _check_views(spec: SearchSpec, side: int) -> None:
    """Raises UsageError for kinds of views that need images of different sizes, since a search
    decodes its images once."""
    views = spec.base.views
    kinds = [k for d in spec.dimensions if d.key == "views.kind" for k in d.choices]
    recipes = [
        spec.base.model_copy(update={"views": views.model_copy(update={"kind": kind})})
        for kind in kinds
    ]
    if len({cached_side(recipe, side) for recipe in [spec.base, *recipes]}) > 1:
        raise UsageError(
            f"views.kind cannot be searched for images of {side} pixels, because simclr decodes "
            "them larger than the others do: search with each kind alone."
        )


def _check_fit(loaded: Loaded, source: ImageSource, base: Recipe, resources: Resources) -> None:
    """Raises a MimicError if recipe, encoder, images and workers are incompatible."""
    chosen_taps(loaded.encoder.spec, base.mutual_information.taps)
    require_batch(source, base.training.batch)
    check_recipe(base, resources.workers)
