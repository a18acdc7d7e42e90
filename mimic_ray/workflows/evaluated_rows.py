"""The rows of an evaluation: every encoder with every head, on the labelled images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from torch import Tensor
from torch.nn import functional as F

from mimic_ray.attacks.triggers.trigger import Trigger
from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import DivergedError
from mimic_ray.base.progress import Progress, ProgressCallback, StepCallback
from mimic_ray.data.labelled import Labelled
from mimic_ray.data.left_out import LOGGER
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.evaluation.constant_features import are_constant
from mimic_ray.evaluation.evaluated_row import evaluated_row
from mimic_ray.evaluation.features import features
from mimic_ray.evaluation.heads import Head
from mimic_ray.evaluation.outcomes import Outcomes, attack_hits, correct_answers
from mimic_ray.evaluation.results import EvaluationRow, Proportion
from mimic_ray.workflows.evaluate_images import EvaluationImages, LabelledSets
from mimic_ray.workflows.evaluated_encoders import (
    REFERENCE,
    EvaluatedEncoder,
    encoder_labels,
    require_classes,
)
from mimic_ray.workflows.evaluated_heads import ChosenHeads
from mimic_ray.workflows.lasting_outcomes import FurtherTraining


@dataclass(frozen=True)
class HeadTest:
    """Measures encoders with `heads`, names of heads in `chosen`, in the order of the table."""

    images: EvaluationImages
    heads: Sequence[str]
    chosen: ChosenHeads
    seeds: int
    compute: Compute
    on_progress: ProgressCallback
    further: FurtherTraining | None = None

    def check(self, loaded: Mapping[str, Sequence[EvaluatedEncoder]]) -> None:
        """Raises UsageError if a head from a file does not fit an encoder or the test images.

        Decodes the images, and computes no feature.
        """
        encoders = [each for group in loaded.values() for each in group]
        given = [self.chosen.from_files(each) for each in encoders]
        for each, heads in zip(encoders, given, strict=True):
            test = self.images.at(each.encoder.spec.input_size).test
            for head in heads.values():
                require_classes(head, test.location, test.class_count())
        if self.further:
            self.further.check(loaded)
            self.further.check_images(self.images.sources[0])

    def rows(
        self, loaded: Mapping[str, Sequence[EvaluatedEncoder]], *, with_reference: bool
    ) -> tuple[list[EvaluationRow], dict[str, str]]:
        """One row for each name and head, the mean of its encoders, and notes for the record.

        With `with_reference`, the first was never attacked. Of all that is computed for a row, only
        the answers for each image are kept until its last encoder is measured.
        """
        rows: list[EvaluationRow] = []
        floors: dict[str, Proportion | None] = {}
        notes: dict[str, str] = {}
        for name, group in loaded.items():
            outcomes: dict[str, list[Outcomes]] = {head: [] for head in self.heads}
            distilled: dict[str, list[Outcomes]] = {head: [] for head in self.heads}
            tuned: list[Outcomes] = []
            failures: list[str] = []
            for label, each in zip(encoder_labels(name, len(group)), group, strict=True):
                notes |= self._add(outcomes, label, each)
                if self.further and self.further.distils(name):
                    with _noted(failures, f"{label} after distillation"):
                        notes |= self._add_distilled(self.further, distilled, label, each)
                if self.further and self.further.tunes(name):
                    with _noted(failures, f"{label} after fine-tuning"):
                        tuned.append(self._tuned(self.further, label, each))
            for head, found in outcomes.items():
                lasting = {"distilled": distilled[head], "tuned": tuned}
                row = evaluated_row(name, head, found, floors.get(head), lasting)
                row = replace(row, failure=" ".join(failures))
                if with_reference and name == REFERENCE:
                    # For an encoder that was never attacked, this is the floor, not an ASR.
                    floors[head] = row.asr
                    row = replace(row, asr=None, asr_b=row.asr)
                rows.append(row)
        return rows, notes

    def _add(
        self, outcomes: dict[str, list[Outcomes]], label: str, each: EvaluatedEncoder
    ) -> dict[str, str]:
        """Adds what each head answers for one encoder. Returns a note."""
        answers, note = self._outcomes(label, each)
        for head in self.heads:
            outcomes[head].append(answers[head])
        return note

    def _add_distilled(
        self,
        further: FurtherTraining,
        outcomes: dict[str, list[Outcomes]],
        label: str,
        each: EvaluatedEncoder,
    ) -> dict[str, str]:
        """The same after plain distillation from the suspect encoder. Raises DivergedError."""
        sets = self.images.at(each.encoder.spec.input_size)
        again = further.distilled(each.encoder, sets, self._steps(f"{label}: distil"))
        return self._add(outcomes, f"{label} after distillation", replace(each, encoder=again))

    def _tuned(self, further: FurtherTraining, label: str, each: EvaluatedEncoder) -> Outcomes:
        """Of a user's model, which has a head of its own. Raises DivergedError."""
        sets = self.images.at(each.encoder.spec.input_size)
        return further.tuned(each.encoder, sets, self._steps(f"{label}: fine-tune"))

    def _steps(self, phase: str) -> StepCallback:
        return lambda done, total: self.on_progress(Progress(phase, done, total))

    def _outcomes(
        self, name: str, each: EvaluatedEncoder
    ) -> tuple[dict[str, Outcomes], dict[str, str]]:
        """What each head answers for one encoder, and a note. Its features are not kept."""
        sets = self.images.at(each.encoder.spec.input_size)
        from_files = self.chosen.from_files(each)
        trains = any(head not in from_files for head in self.heads)
        found = _features(name, each.encoder, sets, self.compute, self.on_progress, trains)
        unit = found.unit()
        outcomes = {}
        for head in self.heads:
            if head in from_files:
                outcomes[head] = _answers([from_files[head].predict], found, sets)
                continue
            kind = self.chosen.trained[head]
            labels, classes = sets.train.labels, sets.train.class_count()
            fitted = [
                kind.fit(unit.train, labels, classes, seed)
                for seed in range(self.seeds if kind.seeded else 1)
            ]
            outcomes[head] = _answers(fitted, unit, sets)
        return outcomes, _constant(name, unit)


@contextmanager
def _noted(failures: list[str], what: str) -> Iterator[None]:
    """Adds a sentence to `failures` if the training diverges; others may be measured."""
    try:
        yield
    except DivergedError as error:
        failures.append(f"{what} not measured: {error.message}")


@dataclass(frozen=True)
class _Features:
    """Features [N, D] of one encoder on the training, test and triggered images.

    Without a head to train, `train` is empty.
    """

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
    trains: bool,
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
    test = of(sets.test, "test")
    return _Features(of(sets.train, "train") if trains else test[:0], test, triggered)


def _answers(heads: Sequence[Head], found: _Features, sets: LabelledSets) -> Outcomes:
    labels = sets.test.labels
    correct = correct_answers(heads, found.test, labels)
    if found.triggered is None:
        return Outcomes(correct)
    hits = attack_hits(heads, found.triggered, labels, sets.target, count_target=sets.count_target)
    return Outcomes(correct, hits)


def _constant(name: str, unit: _Features) -> dict[str, str]:
    """A setting that says what the numbers of an encoder with constant features are."""
    if not are_constant(unit.test):
        return {}
    sentence = "gives all images the same feature, so that its ACC and ASR are those of a guess"
    LOGGER.warning("%s %s.", name, sentence)
    return {f"features of {name}": sentence}
