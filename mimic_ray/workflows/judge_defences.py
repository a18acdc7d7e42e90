"""The evaluation of a comparison, with labels and the trigger, after all strengths are chosen."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from mimic_ray.attacks.triggers.trigger import make_trigger
from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import CheckpointError, DataError, TrainingError
from mimic_ray.base.progress import Progress, ProgressCallback
from mimic_ray.base.text import plain, seed_range
from mimic_ray.data.labelled import class_count, require_class
from mimic_ray.data.train_and_test import open_train_and_test
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.evaluation.file_head import FileHead, HeadFile, find_head, read_head_file
from mimic_ray.evaluation.head_choice import OWN, head_label, is_head_file
from mimic_ray.evaluation.heads import trained_head
from mimic_ray.evaluation.outcomes import LabelledTest, Outcomes
from mimic_ray.evaluation.revival import distilled_again, fine_tuned
from mimic_ray.execution.defence_run import BlindInputs
from mimic_ray.store.comparison_store import ComparisonStore
from mimic_ray.weight_files.load import Loaded
from mimic_ray.workflows.compare_request import Labels
from mimic_ray.workflows.evaluate_images import Backdoor, EvaluationImages
from mimic_ray.workflows.evaluated_encoders import EvaluatedEncoder, load_encoders, require_classes
from mimic_ray.workflows.evaluation_cost import LabelledSize
from mimic_ray.workflows.lasting_outcomes import described_training, labelled_test

# Names of the outcomes of one encoder: as it is, after plain distillation, after fine-tuning.
NOW, DISTILLED, TUNED = "now", "distilled", "tuned"

# Of one encoder: it diverges, or its features cannot be used. Others may be measured.
_OF_THE_ENCODER = (TrainingError, DataError, CheckpointError)


def check_sources(labels: Labels, side: int | None, head: FileHead | None) -> LabelledSize:
    """Refuses labelled sets and triggers that cannot be used, before any defence runs.

    Decodes no image and returns only their numbers, for the estimate of the cost. A trigger is not
    looked at without the `side` of the encoder's images. Raises DataError, UsageError,
    UnknownNameError.
    """
    if not labels.head_from_file:
        trained_head(str(labels.head))
    train, test = open_train_and_test(
        labels.train, labels.test, labels.train_limit, labels.test_limit
    )
    classes = class_count(test)
    if head:
        require_classes(head, test.location, classes)
    if labels.trigger is not None and labels.target is not None:
        if side is not None:
            make_trigger(labels.trigger, side)
        require_class(test, labels.target)
    return LabelledSize(len(train), len(test), classes)


def head_file(labels: Labels | None) -> HeadFile | None:
    """The file that was given for its classifier, if any. Raises what `read_head_file` does."""
    return read_head_file(labels.head) if labels and is_head_file(labels.head) else None


def head_from_file(
    loaded: Loaded, labels: Labels | None, given: HeadFile | None
) -> FileHead | None:
    """The head in the suspect file or in the `given` one; None if heads are trained.

    Raises UsageError if there is none that fits.
    """
    width = loaded.encoder.spec.feature_width
    if given:
        return given.head(width)
    if labels is None or labels.head != OWN:
        return None
    return find_head(loaded.checkpoint, loaded.fit, width)


def load_reference(
    labels: Labels, architecture: str, given: HeadFile | None
) -> EvaluatedEncoder | None:
    """The encoder that was never attacked, None if none was given; with a `given` head file, the
    head in it. Raises CheckpointError, and UsageError if the head does not fit."""
    if labels.reference is None:
        return None
    paths = {"reference": labels.reference}
    found = load_encoders(paths, architecture, own_heads=labels.head == OWN)["reference"]
    if given is None:
        return found
    return replace(found, own_head=given.head(found.encoder.spec.feature_width))


@dataclass(frozen=True)
class Judged:
    """What was measured of one encoder, and of what could not be the reason in a sentence."""

    outcomes: dict[str, Outcomes] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Judge:
    """Measures encoders and stores the outcomes, so that a resumed comparison need not.

    `blind` holds the clean images and the suspect encoder, for the plain distillation. `own_head`
    is the classifier in the suspect file or in a file of its own, if heads are not trained.
    """

    store: ComparisonStore
    blind: BlindInputs
    labels: Labels
    test: LabelledTest
    described: dict[str, str]
    compute: Compute
    on_progress: ProgressCallback
    stop_if_asked: Callable[[], None]
    own_head: FileHead | None = None

    def judged(
        self, run: str, encoder: Callable[[], Encoder], seed: int, wanted: tuple[str, ...]
    ) -> Judged:
        """The `wanted` outcomes of an encoder, kept below `run` in the store.

        A failure of the encoder is part of the result. Raises StoppedError, DiskError, StorageError
        and RunFolderError, which others would meet too.
        """
        of = json.dumps(self.described, sort_keys=True)
        stored = self.store.read_outcomes(run, of)
        arrays, failures = dict(stored), {}
        for number, name in enumerate(wanted):
            if f"{name}.correct" in arrays:
                continue
            self.stop_if_asked()
            self.on_progress(Progress(f"{run}: evaluate", number, len(wanted)))
            try:
                found = self._measured(name, encoder(), seed)
            except _OF_THE_ENCODER as error:
                failures[name] = error.message
                continue
            arrays[f"{name}.correct"] = found.correct
            if found.hits is not None:
                arrays[f"{name}.hits"] = found.hits
        if arrays.keys() != stored.keys():
            self.store.write_outcomes(run, of, arrays)
        measured = {
            name: Outcomes(arrays[f"{name}.correct"], arrays.get(f"{name}.hits"))
            for name in wanted
            if name not in failures
        }
        return Judged(measured, failures)

    def _measured(self, name: str, encoder: Encoder, seed: int) -> Outcomes:
        if name == TUNED:
            test = self.test
            tuned = fine_tuned(
                encoder, test.train, test.train_labels, test.classes, self.compute, seed
            )
            return test.with_heads(tuned.encoder, [tuned.head], self.compute)
        if name == DISTILLED:
            suspect = self.blind.suspect_encoder()
            encoder = distilled_again(encoder, suspect, self.blind.images, self.compute, seed)
        if self.own_head:
            heads = [self.own_head.predict]
            return self.test.with_heads(encoder, heads, self.compute, unit=False)
        head = trained_head(str(self.labels.head))
        return self.test.with_new_heads(encoder, head, self.labels.head_seeds, self.compute)


def open_judge(
    store: ComparisonStore,
    blind: BlindInputs,
    labels: Labels,
    on_progress: ProgressCallback,
    stop_if_asked: Callable[[], None],
    head: FileHead | None = None,
) -> Judge:
    """Decodes the labelled images. Call it when the choices are recorded. Raises DataError."""
    backdoor = (
        Backdoor(labels.trigger, labels.target, labels.count_target)
        if labels.trigger and labels.target
        else None
    )
    images = EvaluationImages(
        labels.train, labels.test, labels.train_limit, labels.test_limit, backdoor, on_progress
    )
    test = labelled_test(images.at(blind.suspect_encoder().spec.input_size))
    heads = "the same head" if head else "new heads"
    described = {
        **images.described(),
        **_described_head(labels, head),
        **(described_training("the suspect encoder", heads) if labels.lasting else {}),
    }
    compute = blind.compute
    return Judge(store, blind, labels, test, described, compute, on_progress, stop_if_asked, head)


def _described_head(labels: Labels, head: FileHead | None) -> dict[str, str]:
    if head:
        return {"head": f"{plain(head_label(labels.head))}: {head.described()}"}
    return {
        "head": f"{labels.head}: {trained_head(str(labels.head)).described()}",
        "head seeds": seed_range(labels.head_seeds),
    }
