"""ACC and ASR from predicted classes."""

from __future__ import annotations

from torch import Tensor

from mimic_ray.evaluation.results import Proportion


def accuracy(predicted: Tensor, labels: Tensor) -> Proportion:
    """ACC: the number of equal predicted and true classes [N]."""
    return Proportion.of(int((predicted == labels).sum()), len(labels))


def attack_success(
    predicted: Tensor, labels: Tensor, target: int, *, count_target: bool = False
) -> Proportion:
    """ASR: the number of triggered images [N] that are predicted as `target`.

    Images of the target class are excluded, because they are predicted as `target` without a
    trigger. With `count_target` they are included, as in BadEncoder: an encoder that was never
    attacked then has an ASR of about 1 / number of classes.
    """
    if not count_target:
        predicted = predicted[labels != target]
    return Proportion.of(int((predicted == target).sum()), len(predicted))
