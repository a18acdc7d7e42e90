"""Purification: from a suspect checkpoint and clean images to a purified encoder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from mimic_ray.base import devices, files, user_code
from mimic_ray.base.argument_types import checked_arguments
from mimic_ray.base.effort import Effort
from mimic_ray.base.errors import (
    RESUME_ADVICE,
    DataError,
    DivergedError,
    MimicError,
    ResourceError,
    StoppedError,
    StorageError,
    UsageError,
    option,
)
from mimic_ray.base.locations import absolute
from mimic_ray.base.progress import ProgressCallback, ignore_progress, starting
from mimic_ray.base.resources import Resources, check_resources, this_machine
from mimic_ray.base.signals import StopRequests, stop_requests
from mimic_ray.data.image_source import open_announced, require_batch
from mimic_ray.data.image_subset import hold_out
from mimic_ray.distributed.cluster_address import find_cluster
from mimic_ray.encoders.taps import chosen_taps
from mimic_ray.execution.distill_job import DistillJob, Outcome
from mimic_ray.execution.lifecycle import begin_run, continue_run, note_end, withdraw
from mimic_ray.execution.training_control import LocalControl
from mimic_ray.execution.worker import train
from mimic_ray.method.recipe import Recipe
from mimic_ray.method.recipe_keys import settings_by_key
from mimic_ray.planning.run_cost import CostCallback, ignore_cost
from mimic_ray.report.trackers import check_trackers, tracked
from mimic_ray.store.checksums import check_sums
from mimic_ray.store.progress_file import end_progress
from mimic_ray.store.run_record import RunRecord
from mimic_ray.store.run_store import RunStore, open_run
from mimic_ray.weight_files.choice import chosen_encoder
from mimic_ray.weight_files.load import Loaded, load_checkpoint
from mimic_ray.workflows.cost_estimate import is_short, report_run_cost
from mimic_ray.workflows.finish_run import finish_run
from mimic_ray.workflows.purify_request import (
    check_disk,
    check_workers,
    new_record,
    on_this_machine,
    resolved_recipe,
    too_little,
)
from mimic_ray.workflows.python_call import python_call


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
        recipe: `auto`, `default`, `imagenet`, `official`, a TOML file or its address, or a
            `Recipe`.
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
    resources = resources or Resources()
    encoder = chosen_encoder(teacher, encoder)
    resolved = resolved_recipe(encoder, recipe, settings, seed, effort)
    run = open_run(out, "driver")
    if not resume:
        run.require_free()
    check_resources(resources)
    check_trackers(trackers)
    if resources.address is not None:
        find_cluster(resources.address)
    check_workers(resolved, resources)
    loaded = load_checkpoint(teacher, encoder)
    chosen_taps(loaded.encoder.spec, resolved.mutual_information.taps)
    source = open_announced(data)
    require_batch(hold_out(source)[0], resolved.training.batch)
    check_disk(run.folder.path, loaded)

    with closing(run):
        with stop_requests() as requests:
            if resources.address is None:
                resources, device = on_this_machine(resources, device)
            cpus = threads or resources.cpus_per_worker
            record = new_record(
                command, encoder, teacher, data, source, loaded, resolved, resources, device, cpus
            )
            record = replace(record, effort=effort)
            warnings: list[str] = []
            if resume:
                with files.disk_errors(run.folder.record, RESUME_ADVICE):
                    record, warnings = continue_run(run, record, resolved)
            else:
                side = loaded.encoder.spec.input_size
                if resources.address is None and not is_short(resolved, side):
                    quick = resolved_recipe(encoder, recipe, settings, seed, "quick")
                    cost = report_run_cost(
                        (encoder, device, cpus),
                        (resolved, quick),
                        len(source),
                        resources,
                        scan,
                        on_cost,
                        yes,
                    )
                    record = replace(record, cost=cost.to_json())
                _check_not_stopped(requests)
                record = begin_run(run, record, resolved)
            if record.status == "finished":
                with run.store.errors_at_location():
                    check_sums(run.folder.path)
                done = "The run is already finished; nothing was done."
                return _result(run, record, [done])
            job = DistillJob(
                run=absolute(out),
                encoder=encoder,
                data=absolute(data),
                recipe=resolved,
                device=device,
                threads=cpus,
                commit_every=commit_every,
                code_folder=user_code.current_folder(),
                lease=run.lease.token,
            )
            with tracked(
                on_progress,
                run.folder.tensorboard,
                record.step,
                run.folder.path.resolve().name,
                settings_by_key(resolved),
                trackers,
                warnings,
            ) as on_step:
                outcome = _train(job, loaded, resources, run, record, requests, on_step)
            if not outcome.finished:
                raise StoppedError(
                    f"Stopped after step {outcome.step} of {resolved.training.steps}, which is "
                    f"saved. To continue, run the same command with {option('resume', True)}.",
                    requests.signal_number,
                )
        warnings += outcome.notes
        compute = devices.choose(
            "cpu" if resources.address else device, resolved.training.precision, cpus
        )
        if scan is None:
            scan = not resources.address and not too_little(resolved, outcome.images)
        record = finish_run(
            run,
            loaded,
            source,
            compute,
            outcome,
            on_progress,
            with_scan=scan,
            all_copies=all_copies,
        )
        if resources.in_process and (gpus := this_machine()["GPU"]) > 1:
            warnings.append(f"One of {gpus:g} GPUs was used; as many workers would use them all.")
        warnings += [*too_little(resolved, outcome.images), *loaded.fit.notes]
        warnings += record.teacher_notes
        return _result(run, record, warnings)


def _check_not_stopped(requests: StopRequests) -> None:
    if requests.count:
        raise StoppedError("Stopped before the run started.", requests.signal_number)


def _train(
    job: DistillJob,
    loaded: Loaded,
    resources: Resources,
    run: RunStore,
    record: RunRecord,
    requests: StopRequests,
    on_progress: ProgressCallback,
) -> Outcome:
    """Runs the distillation in this process or on Ray, and records its end in run.json."""
    try:
        state = loaded.encoder.net.state_dict()
        with files.disk_errors(run.folder.checkpoints, RESUME_ADVICE):
            if resources.in_process:
                control = LocalControl(on_progress, lambda: requests.count > 0)
                outcome = train(job, state, control=control)
            else:
                from mimic_ray.distributed.train_on_ray import train_on_ray

                outcome = train_on_ray(
                    job,
                    state,
                    resources=resources,
                    log=run.folder.worker_log,
                    on_progress=starting(on_progress),
                    should_stop=lambda: requests.count,
                )
    except (DataError, StorageError, UsageError, ResourceError) as error:
        withdraw(run)
        note_end(run, record, "failed", error=error.message)
        raise
    except StoppedError as error:
        note_end(run, record, "stopped", error="")
        raise StoppedError(error.template, requests.signal_number) from error
    except DivergedError as error:
        # Only here: a trial of a search, which also diverges, has no folder to choose.
        diverged = DivergedError(
            f"{error.template} Set another {option('out')} for the new run: with "
            f"{option('resume', True)} this one would end the same way."
        )
        note_end(run, record, "failed", error=diverged.message, diverged=True)
        raise diverged from error
    except MimicError as error:
        note_end(run, record, "failed", error=error.message)
        raise
    except BaseException as error:
        note_end(run, record, "failed", error=f"{type(error).__name__}: {error}")
        raise
    ended = replace(
        record,
        compute=dict(outcome.compute),
        broken_images=len(outcome.broken),
        broken=outcome.broken,
        images=outcome.images,
        workers=outcome.workers,
    ).ended("stopped", step=outcome.step, train_s=outcome.seconds)
    run.write_record(ended)
    end_progress(run.store, "stopped")
    return outcome


def _result(run: RunStore, record: RunRecord, warnings: list[str]) -> Purified:
    exported = next(iter(sorted(run.folder.export.iterdir())))
    name = exported.relative_to(run.folder.path).as_posix()
    return Purified(run.store.location(), run.store.location(name), record, warnings)
