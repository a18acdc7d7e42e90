"""How good are these encoders, and does the trigger still work on them? For proof: needs labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from mimic_ray.attacks.triggers.trigger import Trigger, make_trigger
from mimic_ray.base import devices, files
from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import DataError, RunFolderError, UsageError
from mimic_ray.data.labelled import Labelled, open_labelled
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.encoders.load import load_checkpoint
from mimic_ray.evaluation.features import features
from mimic_ray.evaluation.heads import HEADS, Nearest, Trained
from mimic_ray.evaluation.metrics import accuracy, attack_success
from mimic_ray.evaluation.results import Evaluation, EvaluationRow, Proportion, Score
from mimic_ray.report.plots import plot_evaluation
from mimic_ray.runs.export import load_encoder
from mimic_ray.runs.training import Progress

REFERENCE = "reference"
Tell = Callable[[Progress], None]


@dataclass(frozen=True)
class Heads:
    """Which heads to train on every encoder, and with how many seeds. `epochs` None: their own."""

    names: Sequence[str] = ("mlp",)
    seeds: int = 3
    epochs: int | None = None


@dataclass(frozen=True)
class Attacked:
    """A trigger (a name with settings, or an npz) and the class it should lead to."""

    trigger: str
    target: str
    count_target: bool = False


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
    tell: Tell = lambda progress: None,
) -> Evaluation:
    """ACC of heads trained on `train`, tested on `test`; with `attack` ASR, with `reference` ASR-B.

    `encoders` maps the name in the table to a run folder, or to a checkpoint file, which needs
    `encoder`, the architecture. `reference` is the checkpoint of a never-attacked encoder; it gets
    the first row. With `out`, evaluation.json and evaluation.png in a new folder there.
    Raises a MimicError for what cannot be used, before any feature is computed.
    """
    heads = heads or Heads()
    fitted_by = _heads(heads)
    target_folder = _free(out)
    if reference:
        if REFERENCE in encoders:
            raise UsageError(f'"{REFERENCE}" names the --reference here: call the other otherwise.')
        encoders = {REFERENCE: reference, **encoders}
    loaded = _load(encoders, encoder)
    compute = devices.choose(device, "fp32", threads)
    sets = _Sets(train, test, train_limit, test_limit, attack, tell)
    for each in loaded.values():
        sets.of(each.spec.input_size)

    rows: list[EvaluationRow] = []
    floors: dict[str, Proportion | None] = {}
    for name, each in loaded.items():
        found = _features(name, each, sets.of(each.spec.input_size), compute, tell)
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
    if target_folder:
        with files.new_folder(target_folder) as unfinished:
            files.write_json(unfinished / "evaluation.json", evaluation.to_json())
            plot_evaluation(rows, unfinished / "evaluation.png")
    return evaluation


@dataclass(frozen=True)
class _Set:
    """Everything at one image size."""

    train: Labelled
    test: Labelled
    trigger: Trigger | None
    target: int
    count_target: bool


@dataclass(frozen=True)
class _Found:
    """Features of one encoder, and the truth about them."""

    train: Tensor
    test: Tensor
    triggered: Tensor | None
    at: _Set


class _Sets:
    """The images, decoded once for each input size among the encoders."""

    def __init__(
        self,
        train: str | Path,
        test: str | Path,
        train_limit: int | None,
        test_limit: int | None,
        attack: Attacked | None,
        tell: Tell,
    ) -> None:
        self._train, self._test = (train, train_limit), (test, test_limit)
        self._attack, self._tell = attack, tell
        self._by_side: dict[int, _Set] = {}

    def of(self, side: int) -> _Set:
        if side not in self._by_side:
            self._by_side[side] = self._open(side)
        return self._by_side[side]

    def described(self) -> dict[str, str]:
        any_size = next(iter(self._by_side.values()))
        facts = {}
        for name, images in (("train", any_size.train), ("test", any_size.test)):
            facts[name] = images.location
            facts[f"{name} images"] = str(len(images.pixels))
            facts[f"{name} fingerprint"] = images.fingerprint
        if self._attack:
            facts["trigger"] = self._attack.trigger
            facts["target"] = f"{any_size.target} ({any_size.test.class_name(any_size.target)})"
            facts["ASR counts"] = (
                "all images" if self._attack.count_target else "images of other classes"
            )
        return facts

    def _open(self, side: int) -> _Set:
        attack = self._attack
        # First: a trigger of another size is found sooner than thousands of images are decoded.
        trigger = make_trigger(attack.trigger, side) if attack else None
        train, test = (
            open_labelled(
                location,
                side,
                limit=limit,
                progress=lambda done, total: self._tell(Progress("decode", done, total)),
            )
            for location, limit in (self._train, self._test)
        )
        _check_classes(train, test)
        target = test.class_index(attack.target) if attack else 0
        return _Set(train, test, trigger, target, bool(attack and attack.count_target))


def _features(name: str, encoder: Encoder, images: _Set, compute: Compute, tell: Tell) -> _Found:
    def of(data: Labelled, what: str, trigger: Trigger | None = None) -> Tensor:
        return features(
            encoder,
            data.pixels,
            compute,
            change=trigger.apply if trigger else lambda pixels: pixels,
            tell=lambda done, total: tell(Progress(f"{name}: {what}", done, total)),
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
        if Path(place).is_dir():
            loaded[name] = load_encoder(place)
        elif architecture is None:
            raise UsageError(
                f"{place} is a checkpoint file: say its architecture with --encoder (mimic-ray "
                "inspect names those that fit)."
            )
        else:
            loaded[name] = load_checkpoint(Path(place), architecture).encoder
    return loaded


def _check_classes(train: Labelled, test: Labelled) -> None:
    if train.classes and test.classes and train.classes != test.classes:
        raise DataError(
            f"{train.location} and {test.location} name different classes: head and test must be "
            "of the same data set."
        )
    if test.class_count() > train.class_count():
        raise DataError(
            f"{test.location} has {test.class_count()} classes and {train.location} has "
            f"{train.class_count()}: a head cannot know classes that it never saw."
        )


def _free(out: str | Path | None) -> Path | None:
    folder = Path(out) if out else None
    if folder and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunFolderError(f"{folder} is not an empty folder: give another --out.")
    return folder
