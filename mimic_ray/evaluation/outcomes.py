"""Which test images an encoder's heads classify right, and which triggered ones as the target.

Kept for each image, because an interval over seeds and images needs them (bootstrap.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mimic_ray.base.devices import Compute
from mimic_ray.data.decoded_images import DecodedImages
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.evaluation.bootstrap import over_seeds_and_images
from mimic_ray.evaluation.features import features
from mimic_ray.evaluation.heads import Head, NearestNeighbours, TrainedHead
from mimic_ray.evaluation.results import Proportion

Bits = NDArray[np.uint8]


@dataclass(frozen=True)
class Outcomes:
    """Of one encoder: `correct` [H, N] for ACC, `hits` [H, M] for ASR; None without a trigger."""

    correct: Bits
    hits: Bits | None = None


@dataclass(frozen=True)
class LabelledTest:
    """Labelled images, decoded at the encoder's size, and the backdoor that is known.

    `triggered` adds the trigger to pixels, uint8 [B, 3, S, S]. Images of class `target` do not
    count in ASR, unless `count_target`.
    """

    train: DecodedImages
    train_labels: Tensor
    test: DecodedImages
    test_labels: Tensor
    classes: int
    triggered: Callable[[Tensor], Tensor] | None = None
    target: int = 0
    count_target: bool = False

    def with_new_heads(
        self,
        encoder: Encoder,
        kind: TrainedHead | NearestNeighbours,
        head_seeds: int,
        compute: Compute,
    ) -> Outcomes:
        """Outcomes of heads that are trained on the frozen features of the training images."""
        found = features(encoder, self.train, compute)
        number = head_seeds if kind.seeded else 1
        heads = [kind.fit(found, self.train_labels, self.classes, seed) for seed in range(number)]
        return self.with_heads(encoder, heads, compute)

    def with_heads(
        self, encoder: Encoder, heads: Sequence[Head], compute: Compute, *, unit: bool = True
    ) -> Outcomes:
        """Outcomes of given heads, functions of features [N, D].

        Features have unit length, or without `unit` the length that the encoder gives them.
        """
        clean = features(encoder, self.test, compute, unit=unit)
        correct = correct_answers(heads, clean, self.test_labels)
        if self.triggered is None:
            return Outcomes(correct)
        triggered = features(encoder, self.test, compute, change=self.triggered, unit=unit)
        hits = attack_hits(
            heads, triggered, self.test_labels, self.target, count_target=self.count_target
        )
        return Outcomes(correct, hits)


def correct_answers(heads: Sequence[Head], clean: Tensor, labels: Tensor) -> Bits:
    """Whether each head predicts the label: [H, N], of features [N, D] of clean images."""
    return _stacked([head(clean) == labels for head in heads])


def attack_hits(
    heads: Sequence[Head],
    triggered: Tensor,
    labels: Tensor,
    target: int,
    *,
    count_target: bool = False,
) -> Bits:
    """Whether each head predicts `target`: [H, M], of features [N, D] of triggered images.

    Images of the target class are left out, unless `count_target`.
    """
    if not count_target:
        triggered = triggered[labels != target]
    return _stacked([head(triggered) == target for head in heads])


def acc_over(outcomes: Sequence[Outcomes]) -> Proportion:
    """ACC, the mean over encoders (one per seed), heads and images, with its interval."""
    return over_seeds_and_images(np.stack([each.correct for each in outcomes]))


def asr_over(outcomes: Sequence[Outcomes]) -> Proportion | None:
    """ASR in the same way; None without a trigger."""
    hits = [each.hits for each in outcomes if each.hits is not None]
    return over_seeds_and_images(np.stack(hits)) if hits else None


def _stacked(found: Sequence[Tensor]) -> Bits:
    return torch.stack(list(found)).to(torch.uint8).numpy()
