"""The training of a purification, here or on Ray, and how it ends in the record of the run."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mimic_ray.base import files, user_code
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
from mimic_ray.base.progress import ProgressCallback, starting
from mimic_ray.base.signals import StopRequests
from mimic_ray.data.encoded_images import ImageSource
from mimic_ray.execution.distill_job import DistillJob, Outcome
from mimic_ray.execution.lifecycle import note_end, withdraw
from mimic_ray.execution.training_control import LocalControl
from mimic_ray.execution.worker import train
from mimic_ray.method.recipe import Recipe
from mimic_ray.method.recipe_keys import settings_by_key
from mimic_ray.report.trackers import tracked
from mimic_ray.store.progress_file import end_progress
from mimic_ray.store.run_record import RunRecord
from mimic_ray.store.run_store import RunStore
from mimic_ray.weight_files.load import Loaded
from mimic_ray.workflows.purify_request import PurifyRequest


@dataclass(frozen=True)
class Purification:
    """A purification that passed all checks: what it works on, and where its results go."""

    request: PurifyRequest
    recipe: Recipe
    loaded: Loaded
    source: ImageSource
    run: RunStore


def train_run(
    work: Purification,
    record: RunRecord,
    requests: StopRequests,
    on_progress: ProgressCallback,
    warnings: list[str],
) -> Outcome:
    """Trains the student to its last step. Problems of trackers are added to `warnings`.

    Raises StoppedError after Ctrl-C or SIGTERM, else what the distillation raises.
    """
    folder = work.run.folder
    with tracked(
        on_progress,
        folder.tensorboard,
        record.step,
        folder.path.resolve().name,
        settings_by_key(work.recipe),
        work.request.trackers,
        warnings,
    ) as on_step:
        outcome = _train(work, record, requests, on_step)
    if not outcome.finished:
        raise StoppedError(
            f"Stopped after step {outcome.step} of {work.recipe.training.steps}, which is "
            f"saved. To continue, run the same command with {option('resume', True)}.",
            requests.signal_number,
        )
    return outcome


def _train(
    work: Purification, record: RunRecord, requests: StopRequests, on_progress: ProgressCallback
) -> Outcome:
    """Runs the distillation, and records its end in run.json."""
    run = work.run
    try:
        with files.disk_errors(run.folder.checkpoints, RESUME_ADVICE):
            outcome = _distil(work, requests, on_progress)
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


def _distil(work: Purification, requests: StopRequests, on_progress: ProgressCallback) -> Outcome:
    """In this process or on Ray."""
    request, run = work.request, work.run
    job = DistillJob(
        run=absolute(request.out),
        encoder=request.encoder,
        data=absolute(request.data),
        recipe=work.recipe,
        device=request.device,
        threads=request.threads,
        commit_every=request.commit_every,
        code_folder=user_code.current_folder(),
        lease=run.lease.token,
    )
    state = work.loaded.encoder.net.state_dict()
    if request.resources.in_process:
        return train(job, state, control=LocalControl(on_progress, lambda: requests.count > 0))
    from mimic_ray.distributed.train_on_ray import train_on_ray

    return train_on_ray(
        job,
        state,
        resources=request.resources,
        log=run.folder.worker_log,
        on_progress=starting(on_progress),
        should_stop=lambda: requests.count,
    )
