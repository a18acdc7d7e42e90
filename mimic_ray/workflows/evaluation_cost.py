"""What the evaluation of a comparison takes: passes, further training, and heads."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch

from mimic_ray.base import seeds
from mimic_ray.defences.stop_rule import Contest
from mimic_ray.evaluation.heads import TrainedHead, trained_head
from mimic_ray.evaluation.revival import FineTuning, PlainDistillation
from mimic_ray.workflows.compare_request import Labels

# A head is timed on so many feature vectors, or on so many questions to its neighbours.
_TIMED_IMAGES, _TIMED_QUESTIONS = 2048, 200


@dataclass(frozen=True)
class LabelledSize:
    """Numbers of labelled images and of their classes, known before an image is decoded."""

    train: int
    test: int
    classes: int


@dataclass(frozen=True)
class EvaluationWork:
    """Images in forward passes and in training steps, and heads to train."""

    passed: int
    stepped: int
    heads: int


def evaluation_work(
    contest: Contest, labels: Labels, size: LabelledSize, clean: int
) -> EvaluationWork:
    """Of all encoders of a comparison, with `clean` images; without those that are mapped back."""
    seeded = len(contest.seeds)
    measured = sum(
        contest.most_of(name) if contest.curves else seeded for name in contest.strengths
    )
    measured += 1 + (labels.reference is not None)  # the suspect encoder and the reference
    distilled = len(contest.strengths) * seeded if labels.lasting else 0
    tuned = distilled + 1 if labels.lasting else 0
    tested = size.test * (1 if labels.trigger is None else 2)
    given = labels.head_from_file
    plain, tuning = PlainDistillation(), FineTuning()
    few = min(max(round(tuning.share * size.train), tuning.least * size.classes), size.train)
    new_heads = 0 if given else _heads_on_each(labels)
    return EvaluationWork(
        passed=(measured + distilled) * (tested + (0 if given else size.train)) + tuned * tested,
        stepped=distilled * plain.steps * min(plain.batch, clean) + tuned * tuning.epochs * few,
        heads=(measured + distilled) * new_heads,
    )


def _heads_on_each(labels: Labels) -> int:
    return labels.head_seeds if trained_head(str(labels.head)).seeded else 1


def head_s(name: str, width: int, size: LabelledSize) -> float:
    """Seconds of one head on features of `width`, from a small one that is timed here."""
    kind = trained_head(name)
    number = min(size.train, _TIMED_IMAGES)
    generator = seeds.generator(0, "timed head")
    features = torch.randn(number, width, generator=generator)
    labels = torch.arange(number) % size.classes
    start = time.perf_counter()
    if isinstance(kind, TrainedHead):
        replace(kind, epochs=1).fit(features, labels, size.classes, 0)
        return (time.perf_counter() - start) * kind.epochs * size.train / number
    kind.fit(features, labels, size.classes, 0)(
        torch.randn(_TIMED_QUESTIONS, width, generator=generator)
    )
    asked = size.test / _TIMED_QUESTIONS
    return (time.perf_counter() - start) * asked * size.train / number
