"""Compares defences on one suspect encoder: one blind stop rule, one table, one figure."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from mimic_ray.base import devices, user_code
from mimic_ray.base.argument_types import checked_arguments
from mimic_ray.base.devices import restores_threads
from mimic_ray.base.progress import ProgressCallback, ignore_progress
from mimic_ray.base.resources import Resources
from mimic_ray.data.image_source import open_announced
from mimic_ray.distributed.cluster_address import find_cluster
from mimic_ray.evaluation.comparison_results import Comparison
from mimic_ray.planning.run_cost import CostCallback, ignore_cost, report_cost
from mimic_ray.store.comparison_store import (
    ComparisonRecord,
    ComparisonStore,
    check_same,
    open_comparison,
)
from mimic_ray.store.recipe_file import load_recipe
from mimic_ray.weight_files.choice import chosen_encoder
from mimic_ray.weight_files.load import load_checkpoint
from mimic_ray.workflows.clean_set import check_clean_set
from mimic_ray.workflows.compare_request import (
    CompareRequest,
    compare_request,
    held_out_number,
    most_images,
)
from mimic_ray.workflows.cost_estimate import CostEstimate
from mimic_ray.workflows.judge_defences import (
    check_sources,
    head_file,
    head_from_file,
    load_reference,
)
from mimic_ray.workflows.python_call import python_call
from mimic_ray.workflows.run_comparison import ComparisonInputs, run_comparison


@checked_arguments
@restores_threads
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
    head: str | Path = "mlp",
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
        head: Kind of the heads: `mlp`, `linear`, `knn`, `badencoder`; `own`, the classifier that
            lies beside the encoder in its file; or the file of a linear classifier, or its address.
            The last two are not trained.
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
    request = compare_request(
        encoder,
        teacher,
        data,
        defences=defences,
        train=train,
        test=test,
        trigger=trigger,
        target=target,
        count_target=count_target,
        reference=reference,
        seeds=seeds,
        head=head,
        head_seeds=head_seeds,
        lasting=lasting,
        stop_rule=stop_rule,
        curves=curves,
        held_out=held_out,
        resources=resources,
        train_limit=train_limit,
        test_limit=test_limit,
        device=device,
        threads=threads,
        yes=yes,
        command=command,
    )
    if resources is not None and resources.address is not None:
        find_cluster(resources.address)
    with closing(open_comparison(out)) as store:
        if not resume:
            store.require_free()
        inputs = _open_inputs(request)
        record = _new_record(request, inputs)
        if resume:
            record = _continued(store, record)
        elif resources is None or resources.address is None:
            _report_cost(request, inputs, on_cost)
        return run_comparison(request, inputs, store, record, on_progress)


def _open_inputs(request: CompareRequest) -> ComparisonInputs:
    """Reads the encoders and opens the images. Raises a MimicError if one cannot be used."""
    labels = request.labels
    encoder = chosen_encoder(request.teacher, request.encoder)
    loaded = load_checkpoint(request.teacher, encoder)
    source = open_announced(request.data)
    number = held_out_number(len(source), request.held_out, source.location)
    check_clean_set(source, loaded.encoder)
    given = head_file(labels)
    head = head_from_file(loaded, labels, given)
    side = loaded.encoder.spec.input_size
    labelled = check_sources(labels, side, head) if labels else None
    reference = load_reference(labels, encoder, given) if labels else None
    compute = devices.choose(request.device, "auto", request.threads)
    return ComparisonInputs(encoder, loaded, source, number, head, reference, labelled, compute)


def _new_record(request: CompareRequest, inputs: ComparisonInputs) -> ComparisonRecord:
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


def _report_cost(request: CompareRequest, inputs: ComparisonInputs, on_cost: CostCallback) -> None:
    """Raises UsageError if the comparison is too large."""
    recipe = load_recipe("auto", encoder=inputs.encoder)
    estimate = CostEstimate(inputs.encoder, recipe, request.device, request.threads)
    seen = most_images(request.contest, request.defences, recipe)
    cost = estimate.comparison(
        recipe, request.contest, seen, len(inputs.source), request.labels, inputs.labelled
    )
    report_cost(cost, None, on_cost, request.yes)


def _continued(store: ComparisonStore, record: ComparisonRecord) -> ComparisonRecord:
    """The new record with the time that the earlier command took. Raises RunFolderError."""
    store.fetch()
    with store.store.errors_at_location():
        earlier = store.read_record()
    check_same(earlier, record)
    return replace(
        record,
        defences={**earlier.defences, **record.defences},
        user_code={**earlier.user_code, **record.user_code},
        started_at=earlier.started_at,
        seconds=earlier.seconds,
    )
