"""A search that passed its checks: its trials, and how it ends in the record of the study."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial

from mimic_ray.base import files
from mimic_ray.base.errors import RESUME_ADVICE, StoppedError
from mimic_ray.base.progress import ProgressCallback, starting
from mimic_ray.base.signals import StopRequests, stop_requests
from mimic_ray.distributed.tuner import search_cluster
from mimic_ray.search.search_plan import SearchPlan
from mimic_ray.search.search_progress import SearchProgressCallback
from mimic_ray.store.progress_file import recorded
from mimic_ray.store.study_folder import StudyRecord, read_trials
from mimic_ray.store.study_store import StudyStore
from mimic_ray.weight_files.load import Loaded
from mimic_ray.workflows.prepare_search import PreparedSearch, prepare_search, with_absolute_paths
from mimic_ray.workflows.search_request import SearchRequest, SearchSpec
from mimic_ray.workflows.study_outcome import Tuned, conclude, record_failure


@dataclass(frozen=True)
class Search:
    """A search that passed all checks: what it works on, and where its results go."""

    request: SearchRequest
    spec: SearchSpec
    loaded: Loaded
    study: StudyStore
    record: StudyRecord
    is_new: bool


def run_search(
    task: Search, on_progress: ProgressCallback, on_search_progress: SearchProgressCallback
) -> Tuned:
    """Runs the trials and records how the search ends."""
    request, study, start = task.request, task.study, time.monotonic()
    with stop_requests() as requests:
        try:
            with files.disk_errors(study.folder.record, RESUME_ADVICE):
                _run_trials(task, requests, on_progress, on_search_progress)
        except BaseException as error:
            record_failure(study, task.is_new, error, time.monotonic() - start)
            if isinstance(error, StoppedError):
                raise StoppedError(error.template, requests.signal_number) from error
            raise
    seconds = time.monotonic() - start
    return conclude(study, requests, request.trials, request.failed_share, seconds)


def _run_trials(
    task: Search,
    requests: StopRequests,
    on_progress: ProgressCallback,
    on_search_progress: SearchProgressCallback,
) -> None:
    """Prepares the shared inputs of the trials and runs the trials on Ray."""
    request, spec, study = task.request, task.spec, task.study
    on_progress = starting(recorded(on_progress, study.store, request.trials))
    prepare = partial(prepare_search, with_absolute_paths(request), spec, task.loaded)
    with search_cluster(
        request.resources,
        study.folder.log,
        on_progress,
        lambda: requests.count,
        request.worker_memory,
    ) as cluster:
        prepared, inputs = cluster.prepare(prepare, study)
        record = _begin(study, task.record, request, spec, prepared)
        plan = _plan(request, spec, record)
        cluster.run(study, plan, read_trials(study.folder), inputs, on_search_progress)


def _begin(
    study: StudyStore,
    record: StudyRecord,
    request: SearchRequest,
    spec: SearchSpec,
    prepared: PreparedSearch,
) -> StudyRecord:
    """Completes and writes the record of the study before its first trial."""
    is_new = not record.taps
    if is_new:
        record = replace(
            record,
            taps=prepared.taps,
            shares=prepared.shares,
            space=spec.space(prepared.shares).described(),
            teacher_forwards=prepared.teacher_forwards,
            notes=prepared.notes,
        )
    record = replace(
        record,
        trials=request.trials,
        status="running",
        error="",
        ended_at="",
        compute=prepared.compute.facts(),
        workers=request.resources.workers,
    )
    if is_new:
        study.create(record)
    else:
        study.write_record(record)
    return record


def _plan(request: SearchRequest, spec: SearchSpec, record: StudyRecord) -> SearchPlan:
    return SearchPlan(
        encoder=request.encoder,
        space=spec.space(record.shares),
        base=spec.base,
        shares=None if spec.has_own_profiles() else record.shares,
        trials=request.trials,
        seed=request.seed,
        failed_share=request.failed_share,
        early_stopping=request.early_stopping,
        device=request.device,
        threads=request.trial_threads,
        trackers=request.trackers,
    )
