"""Scores of a student: the objectives of the search; an oracle adds ACC and ASR."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from mimic_ray.attacks.triggers.trigger import Trigger
from mimic_ray.base.devices import Compute
from mimic_ray.base.effort import Effort
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.evaluation.features import features
from mimic_ray.evaluation.heads import LINEAR
from mimic_ray.evaluation.metrics import accuracy, attack_success
from mimic_ray.execution.shared_inputs import ArrayImages, OracleInputs, TrialInputs
from mimic_ray.search.objectives.objective_registry import StudentInputs, objectives


class Scorer:
    """Scores the students of one search, without changing them."""

    def __init__(self, inputs: TrialInputs, compute: Compute, seed: int) -> None:
        self._inputs, self._compute, self._seed = inputs, compute, seed
        self._teacher = torch.from_numpy(np.array(inputs.held_out_features))

    def quick(self, student: Encoder) -> dict[str, float]:
        """All objectives, with less effort."""
        return self._objectives(student, "quick")

    def full(self, student: Encoder) -> dict[str, float]:
        """All objectives with the effort of the search, and ACC and ASR with an oracle."""
        scores = self._objectives(student, self._inputs.effort)
        if self._inputs.oracle:
            scores |= _oracle(student, self._inputs.oracle, self._compute)
        return scores

    def _objectives(self, student: Encoder, effort: Effort) -> dict[str, float]:
        training, scores = student.training, dict[str, float]()
        inputs = StudentInputs(
            student,
            ArrayImages(self._inputs.held_out),
            self._teacher,
            self._compute,
            self._seed,
            effort,
        )
        try:
            for name, objective in objectives().items():
                prepared = self._inputs.prepared.get(name)
                scores |= objective.measure(replace(inputs, prepared=prepared))
        finally:
            student.train(training)
        return scores


def _oracle(student: Encoder, known: OracleInputs, compute: Compute) -> dict[str, Any]:
    """ACC and ASR in percent, of one linear head."""
    mask, add = torch.from_numpy(np.array(known.mask)), torch.from_numpy(np.array(known.add))
    trigger = Trigger("oracle", mask, add)
    test = ArrayImages(known.test)
    labels = torch.from_numpy(np.array(known.test_labels))
    of_train = features(student, ArrayImages(known.train), compute)
    head = LINEAR.fit(of_train, torch.from_numpy(np.array(known.train_labels)), known.classes, 0)
    fooled = head(features(student, test, compute, change=trigger.apply))
    right = accuracy(head(features(student, test, compute)), labels)
    asr = attack_success(fooled, labels, known.target, count_target=False)
    return {"acc": 100 * right.share, "asr": 100 * asr.share}
