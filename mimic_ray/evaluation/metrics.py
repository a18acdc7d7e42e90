"""ACC and ASR from predicted classes."""

from __future__ import annotations

from torch import Tensor

from mimic_ray.evaluation.results import Proportion


def accuracy(predicted: Tensor, labels: Tensor) -> Proportion:
    """ACC: predicted and true classes [N] -> how many agree."""
    return Proportion.of(int((predicted == labels).sum()), len(labels))


def attack_success(
    predicted: Tensor, labels: Tensor, target: int, *, count_target: bool = False
) -> Proportion:
    """ASR: the classes [N] predicted for triggered images -> how many are sent to `target`.

    Images of the target class itself are left out: they belong there without any trigger.
    BadEncoder counts them, which gives a never-attacked encoder an ASR of 1 in `classes`;
    `count_target` does so too.
    """
    if not count_target:
        predicted = predicted[labels != target]
    return Proportion.of(int((predicted == target).sum()), len(predicted))
