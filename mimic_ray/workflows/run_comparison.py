"""A comparison that passed its checks: its runs, the choice of strengths, and the measurements."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from mimic_ray.base import files
from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import RESUME_ADVICE, MimicError, StoppedError
from mimic_ray.base.progress import Progress, ProgressCallback
from mimic_ray.base.signals import StopRequests, stop_requests
from mimic_ray.base.text import seed_range
from mimic_ray.data.encoded_images import ImageSource
from mimic_ray.defences.stop_rule import Contest
from mimic_ray.distributed.defence_tasks import Placement
from mimic_ray.evaluation.comparison_results import Comparison
from mimic_ray.evaluation.file_head import FileHead
from mimic_ray.execution.defence_run import BlindInputs
from mimic_ray.report.comparison_report import write_comparison_report
from mimic_ray.store.comparison_store import ComparisonRecord, ComparisonStore
from mimic_ray.store.progress_file import end_progress, recorded
from mimic_ray.weight_files.load import Loaded
from mimic_ray.workflows.compare_request import CompareRequest
from mimic_ray.workflows.compare_runs import (
    Results,
    blind_inputs,
    cosines,
    run_here,
    run_on_ray,
    stopped,
    stored_results,
)
from mimic_ray.workflows.comparison_rows import blind_rows, judged_rows
from mimic_ray.workflows.evaluated_encoders import EvaluatedEncoder
from mimic_ray.workflows.evaluation_cost import LabelledSize
from mimic_ray.workflows.judge_defences import open_judge


@dataclass(frozen=True)
class ComparisonInputs:
    """What the runs and their evaluation start from."""

    encoder: str
    loaded: Loaded
    source: ImageSource
    held_out: int  # images
    own_head: FileHead | None  # in the suspect file or in one of its own
    reference: EvaluatedEncoder | None
    labelled: LabelledSize | None
    compute: Compute


@dataclass(frozen=True)
class _Comparing:
    """A comparison while it runs."""

    request: CompareRequest
    inputs: ComparisonInputs
    store: ComparisonStore
    requests: StopRequests
    on_progress: ProgressCallback


def run_comparison(
    request: CompareRequest,
    inputs: ComparisonInputs,
    store: ComparisonStore,
    record: ComparisonRecord,
    on_progress: ProgressCallback,
) -> Comparison:
    """Runs the defences, chooses their strengths, then measures; records how it ends."""
    start = time.monotonic()
    on_progress = recorded(on_progress, store.store, request.contest.most(), store.ended_runs)
    with stop_requests() as requests, files.disk_errors(store.folder / "runs", RESUME_ADVICE):
        comparing = _Comparing(request, inputs, store, requests, on_progress)
        store.write_record(record)
        try:
            blind = _blind(comparing)
            results = _run(comparing, blind)
            # From here on nothing is chosen any more.
            record = replace(record, choices=_choices(request.contest, results))
            store.write_record(record)
            comparison = _measure(comparing, record, blind, results)
            on_progress(Progress("report", 0, 1))
            store.publish(*write_comparison_report(store.folder, comparison))
        except BaseException as error:
            _note_failure(store, record, error, time.monotonic() - start)
            if isinstance(error, StoppedError):
                raise StoppedError(error.template, requests.signal_number) from error
            raise
        settings, rows = comparison.settings, comparison.to_json()["rows"]
        record = replace(record, settings=settings, rows=rows)
        store.write_record(record.ended("finished", time.monotonic() - start))
        end_progress(store.store, "finished")
    return comparison


def _blind(comparing: _Comparing) -> BlindInputs:
    inputs = comparing.inputs
    return blind_inputs(
        inputs.loaded,
        inputs.encoder,
        inputs.source,
        inputs.held_out,
        comparing.request.defences,
        inputs.compute,
        comparing.on_progress,
    )


def _run(comparing: _Comparing, blind: BlindInputs) -> Results:
    """All runs that the contest needs, in this process or on Ray."""
    request, store, requests = comparing.request, comparing.store, comparing.requests
    resources, on_progress = request.resources, comparing.on_progress
    runs = (request.contest, blind, store, stored_results(store, request.contest))
    if resources is None or resources.local:
        return run_here(*runs, on_progress, lambda: requests.count)
    cpus = request.threads or resources.cpus_per_worker or 1
    placement = Placement(resources, request.device, cpus, store.folder / "ray.log")
    return run_on_ray(*runs, placement, on_progress, lambda: requests.count)


def _measure(
    comparing: _Comparing, record: ComparisonRecord, blind: BlindInputs, results: Results
) -> Comparison:
    """The rows of the table: fidelity and cost of each defence, with labels also ACC and ASR."""
    request, inputs, store = comparing.request, comparing.inputs, comparing.store
    rows = blind_rows(request.contest, results, request.defences)
    found, settings = [row for row, _ in rows], _described(record, inputs.held_out)
    if request.labels:
        judge = open_judge(
            store,
            blind,
            request.labels,
            comparing.on_progress,
            stop_if_asked=partial(_stop_if_asked, comparing.requests, len(results)),
            head=inputs.own_head,
        )
        found = judged_rows(judge, rows, inputs.reference)
        settings |= judge.described
    return Comparison(tuple(found), settings, str(store.store.location()))


def _choices(competition: Contest, results: Results) -> dict[str, dict[str, Any]]:
    """Of each defence the strength, and whether it reaches the bound."""
    known = cosines(results)
    chosen = {label: competition.choice(label, known) for label in competition.strengths}
    return {label: asdict(choice) for label, choice in chosen.items() if choice}


def _described(record: ComparisonRecord, held_out: int) -> dict[str, str]:
    """What was compared, in words."""
    rule = (
        "the strongest strength whose mean cosine to the suspect encoder on held-out clean images "
        "is not lower than that of default, with the first seed of both"
    )
    return {
        "suspect": f"{record.teacher} ({record.encoder})",
        "clean images": f"{record.data}, {record.images - held_out} used, {held_out} held out",
        "strength": rule if record.stop_rule else "each defence's own settings",
        "seeds": seed_range(len(record.seeds)),
        "device": f"{record.compute['device']}, {record.compute['precision']}",
    }


def _stop_if_asked(requests: StopRequests, ended: int) -> None:
    if requests.count:
        raise stopped(ended)


def _note_failure(
    store: ComparisonStore, record: ComparisonRecord, error: BaseException, seconds: float
) -> None:
    """Records the error, which must not be hidden by another one."""
    store.store.shorten_timeouts()
    with suppress(MimicError, OSError):
        stopped_by_user = isinstance(error, StoppedError)
        end_progress(store.store, "stopped" if stopped_by_user else "failed")
        if stopped_by_user:
            store.write_record(record.ended("stopped", seconds))
            return
        words = error.message if isinstance(error, MimicError) else repr(error)
        store.write_record(record.ended("failed", seconds, words))
