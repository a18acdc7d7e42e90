"""Accuracy and attack success of encoders, measured with labels and, for ASR, the trigger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mimic_ray.base import devices, files
from mimic_ray.base.argument_types import checked_arguments
from mimic_ray.base.devices import restores_threads
from mimic_ray.base.output_folder import Out
from mimic_ray.base.progress import ProgressCallback, ignore_progress
from mimic_ray.base.text import seed_range
from mimic_ray.evaluation.head_choice import OWN, head_label
from mimic_ray.evaluation.results import Evaluation
from mimic_ray.report.plots import plot_evaluation
from mimic_ray.report.table_files import write_tables
from mimic_ray.report.tables import evaluation_table
from mimic_ray.workflows.evaluate_images import EvaluationImages, chosen_backdoor
from mimic_ray.workflows.evaluate_into import check_into, finished_run, write_into
from mimic_ray.workflows.evaluated_encoders import (
    REFERENCE,
    EvaluatedEncoder,
    encoder_labels,
    grouped,
    load_encoders,
    refuse_statistics_of_runs,
    with_reference,
)
from mimic_ray.workflows.evaluated_heads import chosen_heads
from mimic_ray.workflows.evaluated_rows import HeadTest
from mimic_ray.workflows.lasting_outcomes import FurtherTraining, check_suspect_row


@checked_arguments
@restores_threads
def evaluate(
    encoders: Mapping[str, str | Path | Sequence[str | Path]],
    train: str | Path,
    test: str | Path,
    *,
    encoder: str | None = None,
    reference: str | Path | None = None,
    trigger: str | None = None,
    target: str | None = None,
    count_target: bool = False,
    heads: Sequence[str | Path] = ("mlp",),
    seeds: int = 3,
    head_epochs: int | None = None,
    lasting: str | None = None,
    out: str | Path | None = None,
    into: str | Path | None = None,
    train_limit: int | None = None,
    test_limit: int | None = None,
    device: str = "auto",
    threads: int = 0,
    on_progress: ProgressCallback = ignore_progress,
) -> Evaluation:
    """Measures encoders with classifier heads that are trained on their frozen features.

    ACC is the accuracy of a head on clean test images. With `trigger` and `target`, ASR is the
    share of triggered test images that the head assigns to the target class. With `reference`,
    ASR-B is this share for an encoder that was never attacked: the floor of ASR.

    Args:
        encoders: Name in the table -> run folder or checkpoint file, or the address of either. A
            list of them, purifications of one encoder with several seeds, is one row: their mean.
        train: Labelled images to train heads on: a folder with a sub-folder for each class, shards
            with labels, an npz file with `x` and `y`, or `torchvision:NAME:ROOT`.
        test: Labelled images of the same classes to test heads on.
        encoder: Architecture of the checkpoint files; None finds it in each file. Not needed for
            runs, except for a run whose encoder your own code builds: naming that code here allows
            it to run.
        reference: A run or checkpoint that was never attacked. It has the first row.
        trigger: A trigger's name, with settings as in `patch:side=12`, or an npz file.
        target: The target class of the trigger: name or index.
        count_target: Count images of the target class in ASR too, as BadEncoder does.
        heads: Kinds of heads: `mlp`, `linear`, `knn`, `badencoder`; `own`, the classifier that
            lies beside the encoder in its file; or the file of a linear classifier, or its address.
            The last two are not trained: their classes must be those of `test`, in the same order.
        seeds: Heads trained on each encoder, with seeds 0, 1, ...
        head_epochs: Epochs, instead of the default of each head.
        lasting: Name of the suspect encoder among `encoders`. Each of them is also measured after a
            user's training on 1 % of the labelled images, at least 10 a class, and each but the
            suspect one after 60 steps of plain distillation from it: a backdoor that is only masked
            comes back. Needs `trigger`.
        out: A new folder, or an address, for evaluation.json, the table as .csv, .tex and .md, and
            the figure as .png, .pdf and .svg.
        into: A finished run among `encoders`, whose model card gets the table.
        train_limit: Use this many images of `train`, evenly spaced.
        test_limit: Use this many images of `test`, evenly spaced.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        threads: CPU threads; 0 uses all.
        on_progress: Called with a `Progress` regularly.

    Returns:
        One row for each name and kind of head, with 95 % confidence intervals that cover its
        encoders, the seeds of the heads on each, and the test images; `to_frame()` gives them as a
        table.

    Raises:
        MimicError: UsageError, CheckpointError, DataError, StorageError or RunFolderError for
            invalid arguments and inputs, before any feature is computed.

    Example:
        found = mimic_ray.evaluate(
            {"suspect": "suspect.pth", "purified": "purified"},
            "train",
            "test",
            encoder="resnet50",
            trigger="patch",
            target="truck",
        )
        for row in found.rows:
            print(row.encoder, row.acc.share, row.asr.share)
    """
    backdoor = chosen_backdoor(trigger, target, count_target)
    chosen = chosen_heads(heads, seeds, head_epochs)
    folder = Out(out) if out else None
    groups = grouped(with_reference(encoders, reference))
    check_suspect_row(
        lasting, groups, with_reference=bool(reference), with_trigger=backdoor is not None
    )
    every = [path for paths in groups.values() for path in paths]
    check_into(into, every)
    refuse_statistics_of_runs(encoder, every)
    images = EvaluationImages(train, test, train_limit, test_limit, backdoor, on_progress)
    _ = images.sources  # refuses sets that cannot be used, before encoders are read
    loaded = {
        name: [*load_encoders({str(p): p for p in paths}, encoder, own_heads=OWN in heads).values()]
        for name, paths in groups.items()
    }
    compute = devices.choose(device, "fp32", threads)
    further = None
    if lasting:
        of_reference = REFERENCE if reference else None
        further = FurtherTraining(lasting, loaded[lasting][0].encoder, compute, of_reference)
    labels = [*dict.fromkeys(map(head_label, heads))]
    measured = HeadTest(images, labels, chosen, seeds, compute, on_progress, further)
    measured.check(loaded)
    rows, notes = measured.rows(loaded, with_reference=bool(reference))
    settings = {
        **images.described(),
        **chosen.described(),
        **({"head own": "the classifier in each file, not trained"} if OWN in heads else {}),
        **({"seeds": seed_range(seeds)} if chosen.trained else {}),
        **({"reference": str(reference)} if reference else {}),
        **(further.described() if further else {}),
        **_facts(groups, loaded),
        **notes,
    }
    evaluation = Evaluation(tuple(rows), settings)
    if folder:
        with folder.new_folder() as unfinished:
            files.write_json(unfinished / "evaluation.json", evaluation.to_json())
            plot_evaluation(rows, unfinished / "evaluation.png")
            write_tables(unfinished, "evaluation", evaluation_table(rows))
    if into:
        with finished_run(into) as run:
            write_into(run, evaluation)
    return evaluation


def _facts(
    groups: Mapping[str, Sequence[str | Path]], loaded: Mapping[str, Sequence[EvaluatedEncoder]]
) -> dict[str, str]:
    """For the record: where the encoders of a row are if it has several, and what files would
    run."""
    facts = {}
    for name, paths in groups.items():
        labels = encoder_labels(name, len(paths))
        for label, path, each in zip(labels, paths, loaded[name], strict=True):
            if len(paths) > 1:
                facts[label] = str(path)
            if each.finding:
                facts[f"file of {label}"] = each.finding
    return facts
