"""How good are these encoders, and does the trigger still work on them? For proof: needs labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from mimic_ray.attacks.triggers.trigger import Trigger
from mimic_ray.base import devices, files
from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import UsageError
from mimic_ray.base.output_folder import Out
from mimic_ray.base.progress import Progress, ProgressCallback, ignore_progress
from mimic_ray.data.labelled import Labelled
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.encoders.load import load_checkpoint
from mimic_ray.evaluation.features import features
from mimic_ray.evaluation.heads import HEADS, Nearest, Trained
from mimic_ray.evaluation.metrics import accuracy, attack_success
from mimic_ray.evaluation.results import Evaluation, EvaluationRow, Proportion, Score
from mimic_ray.execution.export import load_encoder
from mimic_ray.report.plots import plot_evaluation
from mimic_ray.store.run_store import is_run
from mimic_ray.workflows.evaluate_images import Attacked, Bench, LabelledSets

REFERENCE = "reference"


@dataclass(frozen=True)
class Heads:
    """Which heads to train on every encoder, and with how many seeds. `epochs` None: their own."""

    names: Sequence[str] = ("mlp",)
    seeds: int = 3
    epochs: int | None = None


def evaluate(
    encoders: Mapping[str, str | Path],
    train: str | Path,
    test: str | Path,
    *,
    encoder: str | None = None,
    reference: str | Path | None = None,
    attack: Attacked | None = None,
    heads: Heads | None = None,
    out: str | Path | None = None,
    train_limit: int | None = None,
    test_limit: int | None = None,
    device: str = "auto",
    threads: int = 0,
    on_progress: ProgressCallback = ignore_progress,
) -> Evaluation:
    """ACC of heads trained on `train`, tested on `test`; with `attack` ASR, with `reference` ASR-B.

    `encoders` maps the name in the table to a run folder, or to a checkpoint file, which needs
    `encoder`, the architecture. `reference` is the checkpoint of a never-attacked encoder; it gets
    the first row. With `out`, evaluation.json and evaluation.png in a new folder there.
    Raises a MimicError for what cannot be used, before any feature is computed.
    """
    heads = heads or Heads()
    fitted_by = _heads(heads)
    folder = Out(out) if out else None
    if reference:
        if REFERENCE in encoders:
            raise UsageError(f'"{REFERENCE}" names the --reference here: call the other otherwise.')
        encoders = {REFERENCE: reference, **encoders}
    loaded = _load(encoders, encoder)
    compute = devices.choose(device, "fp32", threads)
    sets = Bench(train, test, train_limit, test_limit, attack, on_progress)
    for each in loaded.values():
        sets.of(each.spec.input_size)

    rows: list[EvaluationRow] = []
    floors: dict[str, Proportion | None] = {}
    for name, each in loaded.items():
        found = _features(name, each, sets.of(each.spec.input_size), compute, on_progress)
        for head_name, head in fitted_by.items():
            scores = _scores(head, found, heads.seeds)
            row = EvaluationRow.of(name, head_name, scores, floors.get(head_name))
            if reference and name == REFERENCE:
                # What a trigger does to an encoder that nobody attacked is the floor, not an ASR.
                floors[head_name] = row.asr
                row = replace(row, asr=None, asr_b=row.asr)
            rows.append(row)

    settings = {
        **sets.described(),
        **{f"head {name}": head.described() for name, head in fitted_by.items()},
        "seeds": f"0 to {heads.seeds - 1}",
        **({"reference": str(reference)} if reference else {}),
    }
    evaluation = Evaluation(tuple(rows), settings)
    if folder:
        with folder.new_folder() as unfinished:
            files.write_json(unfinished / "evaluation.json", evaluation.to_json())
            plot_evaluation(rows, unfinished / "evaluation.png")
    return evaluation


@dataclass(frozen=True)
class _Found:
    """Features of one encoder, and the truth about them."""

    train: Tensor
    test: Tensor
    triggered: Tensor | None
    at: LabelledSets


def _features(
    name: str,
    encoder: Encoder,
    images: LabelledSets,
    compute: Compute,
    on_progress: ProgressCallback,
) -> _Found:
    def of(data: Labelled, what: str, trigger: Trigger | None = None) -> Tensor:
        return features(
            encoder,
            data.pixels,
            compute,
            change=trigger.apply if trigger else lambda pixels: pixels,
            on_progress=lambda done, total: on_progress(Progress(f"{name}: {what}", done, total)),
        )

    triggered = of(images.test, "triggered", images.trigger) if images.trigger else None
    return _Found(of(images.train, "train"), of(images.test, "test"), triggered, images)


def _scores(kind: Trained | Nearest, found: _Found, seeds: int) -> list[Score]:
    train, test = found.at.train, found.at.test
    scores = []
    for seed in range(seeds if kind.seeded else 1):
        head = kind.fit(found.train, train.labels, train.class_count(), seed)
        asr = None
        if found.triggered is not None:
            asr = attack_success(
                head(found.triggered),
                test.labels,
                found.at.target,
                count_target=found.at.count_target,
            )
        scores.append(Score(seed, accuracy(head(found.test), test.labels), asr))
    return scores


def _heads(wanted: Heads) -> dict[str, Trained | Nearest]:
    if wanted.seeds < 1:
        raise UsageError(f"--seeds {wanted.seeds}: at least one head must be trained.")
    heads: dict[str, Trained | Nearest] = {name: HEADS.resolve(name) for name in wanted.names}
    if wanted.epochs is None:
        return heads
    if wanted.epochs < 1:
        raise UsageError(f"--head-epochs {wanted.epochs}: at least one epoch is needed.")
    return {
        name: replace(head, epochs=wanted.epochs) if isinstance(head, Trained) else head
        for name, head in heads.items()
    }


def _load(places: Mapping[str, str | Path], architecture: str | None) -> dict[str, Encoder]:
    loaded = {}
    for name, place in places.items():
        if is_run(place):
            loaded[name] = load_encoder(place)
        elif architecture is None:
            raise UsageError(
                f"{place} is a checkpoint file: say its architecture with --encoder (mimic-ray "
                "inspect names those that fit)."
            )
        else:
            loaded[name] = load_checkpoint(place, architecture).encoder
    return loaded
