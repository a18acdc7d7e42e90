"""Purification: from a suspect checkpoint and clean images to a purified encoder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from mimic_ray.base import devices, files
from mimic_ray.base.argument_types import checked_arguments
from mimic_ray.base.devices import restores_threads
from mimic_ray.base.effort import Effort
from mimic_ray.base.errors import RESUME_ADVICE, StoppedError
from mimic_ray.base.progress import ProgressCallback, ignore_progress
from mimic_ray.base.resources import Resources, check_resources, this_machine
from mimic_ray.base.signals import StopRequests, stop_requests
from mimic_ray.base.text import command_line, count
from mimic_ray.base.user_code import is_user_code
from mimic_ray.data.encoded_images import ImageSource
from mimic_ray.data.image_source import open_announced, require_batch
from mimic_ray.data.image_subset import held_out_number
from mimic_ray.distributed.cluster_address import find_cluster
from mimic_ray.encoders.taps import chosen_taps
from mimic_ray.execution.distill_job import Outcome
from mimic_ray.execution.lifecycle import begin_run, continue_run
from mimic_ray.method.recipe import Recipe
from mimic_ray.method.training_size import too_little
from mimic_ray.planning.run_cost import CostCallback, ignore_cost
from mimic_ray.report.trackers import check_trackers
from mimic_ray.store.checksums import check_sums
from mimic_ray.store.run_record import RunRecord
from mimic_ray.store.run_store import RunStore, open_run
from mimic_ray.weight_files.choice import chosen_encoder
from mimic_ray.weight_files.load import Loaded, load_checkpoint
from mimic_ray.workflows.clean_set import check_clean_set
from mimic_ray.workflows.cost_estimate import is_short, report_run_cost
from mimic_ray.workflows.finish_run import finish_run
from mimic_ray.workflows.purify_request import (
    PurifyRequest,
    check_disk,
    check_workers,
    new_record,
    placed,
    resolved_recipe,
)
from mimic_ray.workflows.python_call import python_call
from mimic_ray.workflows.train_run import Purification, train_run


@dataclass(frozen=True)
class Purified:
    """A finished run. `export` is the student in the layout of the teacher's file.

    Both `run` and `export` are paths, or addresses if `out` was one.
    """

    run: Path | str
    export: Path | str
    record: RunRecord
    warnings: list[str]


@checked_arguments
@restores_threads
def purify(
    encoder: str | None,
    teacher: str | Path,
    data: str | Path,
    out: str | Path,
    *,
    recipe: str | Path | Recipe = "auto",
    settings: Iterable[str] = (),
    effort: Effort = "full",
    seed: int | None = None,
    resources: Resources | None = None,
    resume: bool = False,
    all_copies: bool = False,
    device: str = "auto",
    threads: int = 0,
    commit_every: int = 0,
    scan: bool | None = None,
    trackers: Sequence[str] = (),
    yes: bool = False,
    on_progress: ProgressCallback = ignore_progress,
    on_cost: CostCallback = ignore_cost,
    command: str | None = None,
) -> Purified:
    """Purifies a suspect encoder with a few thousand clean, unlabelled images.

    The suspect encoder is the teacher of a new encoder, the student. The student learns to compute,
    from perturbed images, the features that the teacher computes from plain ones. No recipe removes
    every kind of trigger: the model card in the run folder lists the kinds that this one imitates.
    With labels, `evaluate(..., heads=["own"], into=out)` measures the accuracy that is kept.

    Args:
        encoder: Architecture: `resnet50`, `vit_b16`, `clip_rn50`, `simclr_resnet18`, any image
            model of timm, with an input size as in `vit_b16@384`, or your own `file.py:function`.
            `inspect` shows which ones fit a file. None takes the one that fits, if all that fit
            give the same features. Statistics of the input other than those of the name follow it:
            `resnet50:normalise=none`, `resnet50:mean=0.5/0.5/0.5,std=0.2/0.2/0.2`. The copy of it
            in a file that has several follows too: `resnet50:weights=state_dict.encoder_k`.
        teacher: Checkpoint file of the suspect encoder, or its address (s3://bucket/file).
        data: Clean images: a folder of images or of .tar shards, a tar, an npz file, a pattern
            such as `train-{000..007}.tar`, `torchvision:NAME:ROOT` or an address.
        out: The run folder to create, or its address.
        recipe: `auto`, `default`, `imagenet`, `layer_norm`, `mimic`, `official`, a TOML file or its
            address, or a `Recipe`.
        settings: Changes to the recipe, each `KEY=VALUE`.
        effort: `quick`: a third of the recipe's steps, unless `settings` has them; `full`.
        seed: Short for `training.seed=...`. The same seed gives the same result.
        resources: Workers, CPUs, GPUs and cluster. By default one worker in this process. Several
            workers, and those of a cluster, run on Ray.
        resume: Continue the run in `out` from its last checkpoint.
        all_copies: Write the purified weights to every copy of the encoder in the teacher's file,
            such as a momentum encoder. Names that share memory are one copy in any case.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        threads: CPU threads of a worker; 0 uses all.
        commit_every: Steps between two checkpoints. With 0, a checkpoint follows the last after 10
            s or more, so that they cost at most 2 % of the time.
        scan: Scan the suspect and the student at the end. None: after a run on this machine that
            is long enough to purify, where it takes about a tenth of the time.
        trackers: `mlflow` or `wandb`, in addition to TensorBoard files.
        yes: Start even if it takes more than a day or more memory than this machine has.
        on_progress: Called with a `Progress` regularly.
        on_cost: Called with the estimated `Cost` before a new run on this machine starts.
        command: The command to record in run.json; by default this call.

    Returns:
        `run`, the folder; `export`, the purified weights in the layout of the teacher's file;
        `record`, the content of run.json; `warnings`, notes for the user.

    Raises:
        UsageError: An invalid argument, or too large a cost without `yes`; RecipeError for the
            recipe. Raised before any work.
        CheckpointError: The teacher's file cannot be used, or does not fit `encoder`.
        DataError: The images cannot be used, or there are too few.
        RunFolderError: `out` is not empty, or with `resume` has another run.
        StorageError, DiskError, ResourceError, TrainingError: The work failed.
        StoppedError: Ctrl-C or SIGTERM; the last step is in a checkpoint.

    Example:
        result = mimic_ray.purify(
            "resnet50",
            "suspect.pth",
            "images",
            "purified",
            settings=["training.steps=300"],
            resources=mimic_ray.Resources(cpus_per_worker=1),
        )
        print(result.export, result.record.train_s)
    """
    settings = list(settings)
    command = command or python_call(purify, locals())
    request = PurifyRequest(
        encoder=chosen_encoder(teacher, encoder),
        teacher=teacher,
        data=data,
        out=out,
        recipe=recipe,
        settings=settings,
        effort=effort,
        seed=seed,
        resources=resources or Resources(),
        resume=resume,
        all_copies=all_copies,
        device=device,
        threads=threads,
        commit_every=commit_every,
        scan=scan,
        trackers=trackers,
        yes=yes,
        command=command,
    )
    resolved = resolved_recipe(request)
    run = open_run(out, "driver")
    try:
        if not resume:
            run.require_free()
        _check(request, resolved)
        loaded, source = _open_inputs(request, resolved)
        check_disk(run.folder.path, loaded)
    except BaseException:
        run.store.close()  # not `run`, whose folder another process may be using
        raise

    with closing(run):
        with stop_requests() as requests:
            request = placed(request)
            work = Purification(request, resolved, loaded, source, run)
            record, warnings = _started(work, requests, on_cost)
            if record.status == "finished":
                return _unchanged(run, record)
            outcome = train_run(work, record, requests, on_progress, warnings)
        return _finished(work, outcome, on_progress, warnings)


def _check(request: PurifyRequest, recipe: Recipe) -> None:
    """Raises a MimicError for resources, trackers or workers that cannot be used."""
    check_resources(request.resources)
    check_trackers(request.trackers)
    if request.resources.address is not None:
        find_cluster(request.resources.address)
    check_workers(recipe, request.resources)


def _open_inputs(request: PurifyRequest, recipe: Recipe) -> tuple[Loaded, ImageSource]:
    """The teacher and the images. Raises a MimicError if the recipe does not go with them."""
    loaded = load_checkpoint(request.teacher, request.encoder)
    chosen_taps(loaded.encoder.spec, recipe.mutual_information.taps)
    source = open_announced(request.data)
    require_batch(source, recipe.training.batch, held_out_number(len(source)))
    check_clean_set(source, loaded.encoder)
    return loaded, source


def _started(
    work: Purification, requests: StopRequests, on_cost: CostCallback
) -> tuple[RunRecord, list[str]]:
    """The record of the run, new or continued, and warnings about changed settings."""
    request, recipe, run = work.request, work.recipe, work.run
    record = new_record(request, recipe, work.loaded, work.source)
    if request.resume:
        with files.disk_errors(run.folder.record, RESUME_ADVICE):
            return continue_run(run, record, recipe)
    side = work.loaded.encoder.spec.input_size
    if request.resources.address is None and not is_short(recipe, side):
        cost = report_run_cost(request, recipe, len(work.source), on_cost)
        record = replace(record, cost=cost.to_json())
    if requests.count:
        raise StoppedError("Stopped before the run started.", requests.signal_number)
    return begin_run(run, record, recipe), []


def _unchanged(run: RunStore, record: RunRecord) -> Purified:
    """The result of a run that was finished before."""
    with run.store.errors_at_location():
        check_sums(run.folder.path)
    return _result(run, record, ["The run is already finished; nothing was done."])


def _finished(
    work: Purification, outcome: Outcome, on_progress: ProgressCallback, warnings: list[str]
) -> Purified:
    """Writes the results, and adds what the user should know of them to the warnings."""
    request, loaded, resources = work.request, work.loaded, work.request.resources
    little = too_little(work.recipe, outcome.images)
    no_scan = _why_no_scan(work, short=bool(little))
    device = "cpu" if resources.address else request.device
    record = finish_run(
        work.run,
        loaded,
        work.source,
        devices.choose(device, work.recipe.training.precision, request.threads),
        outcome,
        on_progress,
        with_scan=not no_scan if request.scan is None else request.scan,
        no_scan=no_scan if request.scan is None else "",
        all_copies=request.all_copies,
    )
    warnings = [*warnings, *outcome.notes]
    if record.broken_images:
        broken = count(record.broken_images, "broken image")
        warnings.append(f"{broken} had no part in the training; run.json has the names.")
    if resources.in_process and (gpus := this_machine()["GPU"]) > 1:
        warnings.append(f"One of {gpus:g} GPUs was used; as many workers would use them all.")
    notes = [little, *loaded.fit.notes] if little else loaded.fit.notes
    return _result(work.run, record, [*warnings, *notes, *record.teacher_notes])


def _why_no_scan(work: Purification, *, short: bool) -> str:
    """Why a run is not scanned unless it was asked for, and how to get a scan; "" if it is."""
    request = work.request
    inputs = {"teacher": request.teacher, "data": request.data, "student": work.run}
    if is_user_code(request.encoder):
        inputs["encoder"] = request.encoder
    run = f"{command_line('scan', **inputs)} does it now."
    if request.resources.address:
        return f"a run on a cluster is not scanned unless the option scan is set; {run}"
    if short:
        return f"a run this short is not scanned unless the option scan is set; {run}"
    return ""


def _result(run: RunStore, record: RunRecord, warnings: list[str]) -> Purified:
    exported = next(iter(sorted(run.folder.export.iterdir())))
    name = exported.relative_to(run.folder.path).as_posix()
    return Purified(run.store.location(), run.store.location(name), record, warnings)
