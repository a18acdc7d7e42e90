"""Compares defences on one suspect encoder: one blind stop rule, one table, one figure."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from mimic_ray.base import devices, files, user_code
from mimic_ray.base.argument_types import checked_arguments
from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import RESUME_ADVICE, MimicError, StoppedError
from mimic_ray.base.progress import Progress, ProgressCallback, ignore_progress
from mimic_ray.base.resources import Resources
from mimic_ray.base.signals import StopRequests, stop_requests
from mimic_ray.data.encoded_images import ImageSource
from mimic_ray.data.image_source import open_announced
from mimic_ray.defences.stop_rule import Contest
from mimic_ray.distributed.cluster_address import find_cluster
from mimic_ray.distributed.defence_tasks import Placement
from mimic_ray.evaluation.comparison_results import Comparison
from mimic_ray.evaluation.file_head import FileHead
from mimic_ray.execution.defence_run import BlindInputs
from mimic_ray.planning.run_cost import CostCallback, ignore_cost, report_cost
from mimic_ray.report.comparison_report import write_comparison_report
from mimic_ray.store.comparison_store import (
    ComparisonRecord,
    ComparisonStore,
    check_same,
    open_comparison,
)
from mimic_ray.store.progress_file import end_progress, recorded
from mimic_ray.store.recipe_file import load_recipe
from mimic_ray.weight_files.choice import chosen_encoder
from mimic_ray.weight_files.load import Loaded, load_checkpoint
from mimic_ray.workflows.compare_request import (
    CompareRequest,
    Labels,
    check_labels,
    check_placement,
    contest,
    held_out_number,
    most_images,
    named_defences,
)
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
from mimic_ray.workflows.cost_estimate import CostEstimate
from mimic_ray.workflows.evaluated_encoders import EvaluatedEncoder
from mimic_ray.workflows.judge_defences import check_sources, load_reference, open_judge, own_head
from mimic_ray.workflows.python_call import python_call


@checked_arguments
def compare(
    encoder: str | None,
    teacher: str | Path,
    data: str | Path,
    out: str | Path,
    *,
    defences: Sequence[str] = (),
    train: str | Path | None = None,
    test: str | Path | None = None,
    trigger: str | None = None,
    target: str | None = None,
    count_target: bool = False,
    reference: str | Path | None = None,
    seeds: int = 3,
    head: str = "mlp",
    head_seeds: int = 3,
    lasting: bool = True,
    stop_rule: bool = True,
    curves: bool = False,
    held_out: float = 0.1,
    resources: Resources | None = None,
    train_limit: int | None = None,
    test_limit: int | None = None,
    resume: bool = False,
    device: str = "auto",
    threads: int = 0,
    yes: bool = False,
    on_progress: ProgressCallback = ignore_progress,
    on_cost: CostCallback = ignore_cost,
    command: str | None = None,
) -> Comparison:
    """Compares defences on one suspect encoder and one set of clean, unlabelled images.

    Each defence is reported at the strongest of its declared strengths whose encoder has, on
    held-out clean images, a mean cosine to the suspect encoder no lower than that of `default`.
    This choice sees no label, trigger or target class: it ends before labelled images are decoded.

    Args:
        encoder: Architecture, as for `purify`; None finds it in the file.
        teacher: Checkpoint file of the suspect encoder, or its address.
        data: Clean images, as for `purify`.
        out: The folder to create, or its address.
        defences: Names, optionally with settings as in `nad:steps=100`, or your own as
            `file.py:function`. By default all built-in ones; `default` always runs.
        train: Labelled images to train heads on. Without them, only fidelity and cost are measured.
        test: Other labelled images of the same classes to test heads on.
        trigger: The trigger, for ASR, as for `evaluate`.
        target: Its target class: name or index.
        count_target: Count images of the target class in ASR too.
        reference: A run or checkpoint that was never attacked. Its ASR is ASR-B, the floor.
        seeds: Purifications by each defence, with seeds 0, 1, ...
        head: Kind of the heads: `mlp`, `linear`, `knn`, `badencoder`, or `own`, the classifier that
            lies beside the encoder in its file and is not trained.
        head_seeds: Heads trained on each purified encoder.
        lasting: Also measure ACC and ASR after 60 plain distillation steps, and of a model that a
            user fine-tuned on 1 % of the labelled images.
        stop_rule: Choose strengths by the rule above. Otherwise defences have their own settings.
        curves: Run all declared strengths.
        held_out: Share of the clean images that only measures fidelity: 32 to 500 images.
        resources: CPUs and GPUs of one run of a defence, and the cluster: runs are Ray tasks, as
            many at a time as fit. By default they run one after another in this process.
        train_limit: Use this many images of `train`, evenly spaced.
        test_limit: Use this many images of `test`, evenly spaced.
        resume: Continue the comparison in `out`; runs that ended are kept.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        threads: CPU threads; 0 uses all.
        yes: Start even if it may take more than a day or more memory than this machine has.
        on_progress: Called with a `Progress` regularly.
        on_cost: Called with the largest `Cost` of a new comparison on this machine before it
            starts.
        command: The command to record in comparison.json; by default this call.

    Returns:
        `rows`, one for each defence; `to_frame()` gives them as a table.

    Raises:
        MimicError: UsageError, CheckpointError, DataError, RunFolderError, StorageError or
            ResourceError for invalid arguments and inputs, before any defence runs.
        TrainingError: `default` failed, so that there is no bound. Failures of other defences are
            in their rows.
        StoppedError: Ctrl-C or SIGTERM; runs that ended are kept.

    Example:
        found = mimic_ray.compare(
            "resnet50", "suspect.pth", "images", "compared", defences=["fine_tuning"], seeds=1
        )
        for row in found.rows:
            print(row.defence, row.strength, row.cosine)
    """
    command = command or python_call(compare, locals())
    train, test, reference = (None if x is None else str(x) for x in (train, test, reference))
    check_labels(train, test, trigger, target, reference, count_target, head_seeds)
    check_placement(resources or Resources())
    if resources is not None and resources.address is not None:
        find_cluster(resources.address)
    named = named_defences(defences)
    labels = None
    if train and test:
        labels = Labels(
            train,
            test,
            trigger=trigger,
            target=target,
            count_target=count_target,
            reference=reference,
            head=head,
            head_seeds=head_seeds,
            lasting=lasting,
            train_limit=train_limit,
            test_limit=test_limit,
        )
    request = CompareRequest(
        encoder=encoder,
        teacher=teacher,
        data=data,
        defences=named,
        contest=contest(named, seeds, stop_rule=stop_rule, curves=curves),
        labels=labels,
        held_out=held_out,
        resources=resources,
        device=device,
        threads=threads,
        yes=yes,
        command=command,
    )
    with closing(open_comparison(out)) as store:
        if not resume:
            store.require_free()
        inputs = _open_inputs(request)
        record = _new_record(request, inputs)
        if resume:
            record = _continued(store, record)
        elif resources is None or resources.address is None:
            _report_cost(request, inputs, on_cost)
        return _compare(request, inputs, store, record, on_progress)


@dataclass(frozen=True)
class _Inputs:
    """What the runs and their evaluation start from."""

    encoder: str
    loaded: Loaded
    source: ImageSource
    held_out: int  # images
    own_head: FileHead | None  # in the suspect file
    reference: EvaluatedEncoder | None
    compute: Compute


@dataclass(frozen=True)
class _Comparing:
    """A comparison while it runs."""

    request: CompareRequest
    inputs: _Inputs
    store: ComparisonStore
    requests: StopRequests
    on_progress: ProgressCallback


def _open_inputs(request: CompareRequest) -> _Inputs:
    """Reads the encoders and opens the images. Raises a MimicError if one cannot be used."""
    labels = request.labels
    encoder = chosen_encoder(request.teacher, request.encoder)
    loaded = load_checkpoint(request.teacher, encoder)
    source = open_announced(request.data)
    number = held_out_number(len(source), request.held_out, source.location)
    head = own_head(loaded, labels)
    if labels:
        check_sources(labels, loaded.encoder.spec.input_size, head)
    reference = load_reference(labels, encoder) if labels else None
    compute = devices.choose(request.device, "auto", request.threads)
    return _Inputs(encoder, loaded, source, number, head, reference, compute)


def _new_record(request: CompareRequest, inputs: _Inputs) -> ComparisonRecord:
    defences, competition = request.defences, request.contest
    return ComparisonRecord(
        command=request.command,
        encoder=inputs.encoder,
        teacher=str(request.teacher),
        teacher_sha256=inputs.loaded.checkpoint.sha256,
        data=str(request.data),
        data_fingerprint=inputs.source.fingerprint,
        images=len(inputs.source),
        left_out=dict(inputs.source.left_out),
        held_out=request.held_out,
        defences={label: dict(each.settings) for label, each in defences.items()},
        seeds=list(competition.seeds),
        stop_rule=competition.stop_rule,
        curves=competition.curves,
        user_code=user_code.checksums([inputs.encoder, *(each.name for each in defences.values())]),
        compute=inputs.compute.facts(),
    )


def _report_cost(request: CompareRequest, inputs: _Inputs, on_cost: CostCallback) -> None:
    """Raises UsageError if the comparison is too large."""
    recipe = load_recipe("auto", side=inputs.loaded.encoder.spec.input_size)
    estimate = CostEstimate(inputs.encoder, recipe, request.device, request.threads)
    seen = most_images(request.contest, request.defences, recipe)
    cost = estimate.comparison(recipe, request.contest.most(), seen, len(inputs.source))
    report_cost(cost, None, on_cost, request.yes)


def _compare(
    request: CompareRequest,
    inputs: _Inputs,
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


def _continued(store: ComparisonStore, record: ComparisonRecord) -> ComparisonRecord:
    """The new record with the time that the earlier command took. Raises RunFolderError."""
    store.fetch()
    with store.store.errors_at_location():
        earlier = store.read_record()
    check_same(earlier, record)
    return replace(
        record,
        defences={**earlier.defences, **record.defences},
        started_at=earlier.started_at,
        seconds=earlier.seconds,
    )


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
        "seeds": f"0 to {len(record.seeds) - 1}",
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
