"""Accuracy and attack success of encoders, measured with labels and, for ASR, the trigger."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor
from torch.nn import functional as F

from mimic_ray.attacks.triggers.trigger import Trigger
from mimic_ray.base import devices, files
from mimic_ray.base.argument_types import checked_arguments
from mimic_ray.base.devices import Compute, restores_threads
from mimic_ray.base.errors import UsageError, option
from mimic_ray.base.output_folder import Out
from mimic_ray.base.progress import Progress, ProgressCallback, ignore_progress
from mimic_ray.data.labelled import Labelled
from mimic_ray.data.left_out import LOGGER
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.evaluation.constant_features import are_constant
from mimic_ray.evaluation.features import features
from mimic_ray.evaluation.head_choice import OWN, head_label
from mimic_ray.evaluation.heads import NearestNeighbours, TrainedHead
from mimic_ray.evaluation.metrics import accuracy, attack_success
from mimic_ray.evaluation.results import Evaluation, EvaluationRow, Proportion, Score
from mimic_ray.report.plots import plot_evaluation
from mimic_ray.report.table_files import write_tables
from mimic_ray.report.tables import evaluation_table
from mimic_ray.store.run_store import is_run
from mimic_ray.workflows.evaluate_images import Backdoor, EvaluationImages, LabelledSets
from mimic_ray.workflows.evaluate_into import check_into, finished_run, write_into
from mimic_ray.workflows.evaluated_encoders import (
    load_encoders,
    refuse_statistics_of_runs,
    require_classes,
)
from mimic_ray.workflows.evaluated_heads import chosen_heads

REFERENCE = "reference"


@checked_arguments
@restores_threads
def evaluate(
    encoders: Mapping[str, str | Path],
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
        encoders: Name in the table -> run folder or checkpoint file, or the address of either.
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
        out: A new folder, or an address, for evaluation.json, the table as .csv, .tex and .md, and
            the figure as .png, .pdf and .svg.
        into: A finished run, whose model card gets the table.
        train_limit: Use this many images of `train`, evenly spaced.
        test_limit: Use this many images of `test`, evenly spaced.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        threads: CPU threads; 0 uses all.
        on_progress: Called with a `Progress` regularly.

    Returns:
        One row for each encoder and kind of head, with 95 % confidence intervals; `to_frame()`
        gives them as a table.

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
    backdoor = _backdoor(trigger, target, count_target)
    chosen = chosen_heads(heads, seeds, head_epochs)
    folder = Out(out) if out else None
    if not (encoders or reference):
        raise UsageError(f"{option('encoders', '{}')} has no encoder: give at least one.")
    if reference:
        if REFERENCE in encoders:
            raise UsageError(
                f'The name "{REFERENCE}" is taken by {option("reference")}: rename the encoder.'
            )
        encoders = {REFERENCE: reference, **encoders}
    check_into(into)
    if all(map(is_run, encoders.values())):
        refuse_statistics_of_runs(encoder)
    images = EvaluationImages(train, test, train_limit, test_limit, backdoor, on_progress)
    _ = images.sources  # refuses sets that cannot be used, before encoders are read
    loaded = load_encoders(encoders, encoder, own_heads=OWN in heads)
    from_files = {name: chosen.from_files(each) for name, each in loaded.items()}
    compute = devices.choose(device, "fp32", threads)
    for name, each in loaded.items():
        sets = images.at(each.encoder.spec.input_size)
        for head in from_files[name].values():
            require_classes(head, sets.test.location, sets.test.class_count())

    rows: list[EvaluationRow] = []
    floors: dict[str, Proportion | None] = {}
    notes: dict[str, str] = {}
    for name, each in loaded.items():
        sets = images.at(each.encoder.spec.input_size)
        found = _features(name, each.encoder, sets, compute, on_progress)
        notes |= _constant(name, found)
        for head_name in map(head_label, heads):
            if head_name in from_files[name]:
                scores = [_score(0, from_files[name][head_name].predict, found, sets)]
            else:
                scores = _scores(chosen.trained[head_name], found.unit(), sets, seeds)
            row = EvaluationRow.of(name, head_name, scores, floors.get(head_name))
            if reference and name == REFERENCE:
                # For an encoder that was never attacked, this is the floor, not an ASR.
                floors[head_name] = row.asr
                row = replace(row, asr=None, asr_b=row.asr)
            rows.append(row)

    settings = {
        **images.described(),
        **chosen.described(),
        "seeds": f"0 to {seeds - 1}",
        **({"reference": str(reference)} if reference else {}),
        **{f"file of {name}": each.finding for name, each in loaded.items() if each.finding},
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


@dataclass(frozen=True)
class _Features:
    """Features [N, D] of one encoder on the training, test and triggered images."""

    train: Tensor
    test: Tensor
    triggered: Tensor | None

    def unit(self) -> _Features:
        """The same with length 1."""
        triggered = None if self.triggered is None else F.normalize(self.triggered, dim=1)
        return _Features(F.normalize(self.train, dim=1), F.normalize(self.test, dim=1), triggered)


def _features(
    name: str,
    encoder: Encoder,
    sets: LabelledSets,
    compute: Compute,
    on_progress: ProgressCallback,
) -> _Features:
    def of(data: Labelled, what: str, trigger: Trigger | None = None) -> Tensor:
        return features(
            encoder,
            data.pixels,
            compute,
            change=trigger.apply if trigger else lambda pixels: pixels,
            unit=False,
            on_progress=lambda done, total: on_progress(Progress(f"{name}: {what}", done, total)),
        )

    triggered = of(sets.test, "triggered", sets.trigger) if sets.trigger else None
    return _Features(of(sets.train, "train"), of(sets.test, "test"), triggered)


def _constant(name: str, found: _Features) -> dict[str, str]:
    """A setting that says what the numbers of an encoder with constant features are."""
    if not are_constant(F.normalize(found.test, dim=1)):
        return {}
    sentence = "gives all images the same feature, so that its ACC and ASR are those of a guess"
    LOGGER.warning("%s %s.", name, sentence)
    return {f"features of {name}": sentence}


def _scores(
    kind: TrainedHead | NearestNeighbours, found: _Features, sets: LabelledSets, seeds: int
) -> list[Score]:
    train = sets.train
    return [
        _score(seed, kind.fit(found.train, train.labels, train.class_count(), seed), found, sets)
        for seed in range(seeds if kind.seeded else 1)
    ]


def _score(
    seed: int, head: Callable[[Tensor], Tensor], found: _Features, sets: LabelledSets
) -> Score:
    labels, asr = sets.test.labels, None
    if found.triggered is not None:
        asr = attack_success(
            head(found.triggered), labels, sets.target, count_target=sets.count_target
        )
    return Score(seed, accuracy(head(found.test), labels), asr)


def _backdoor(trigger: str | None, target: str | None, count_target: bool) -> Backdoor | None:
    if trigger and target:
        return Backdoor(trigger, target, count_target)
    if trigger or target:
        raise UsageError(f"{option('trigger')} and {option('target')} must be given together.")
    if count_target:
        raise UsageError(
            f"{option('count_target')} needs {option('trigger')} and {option('target')}."
        )
    return None
