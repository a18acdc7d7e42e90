"""Suspicion: how strongly the student still reacts to something that a trigger could be."""

from __future__ import annotations

import torch

from mimic_ray.evaluation.suspicion.suspicion import TrustedScores, suspicion, trusted_scores
from mimic_ray.search.objectives.objective_registry import Objective, SearchInputs, StudentInputs


def _prepare(inputs: SearchInputs) -> TrustedScores:
    images = inputs.held_out.gather(torch.arange(len(inputs.held_out)))
    return trusted_scores(
        inputs.trusted,
        images,
        inputs.compute,
        inputs.seed,
        teacher=inputs.teacher,
        effort=inputs.effort,
        on_progress=inputs.on_progress,
    )


def _measure(student: StudentInputs) -> dict[str, float]:
    found = suspicion(
        student.encoder,
        student.prepared,
        student.pixels,
        student.compute,
        student.seed,
        student.effort,
    )
    return {
        "suspicion": found.score,
        "universal": found.universal,
        "inversion": found.inversion,
        "occlusion": found.occlusion,
    }


SUSPICION = Objective(
    "minimize",
    _measure,
    "The mean of three numbers, measured without the trigger: how strongly one change applied to "
    "all images pulls their features together, how small a mask makes all features agree (compared "
    "with trusted encoders), and how far a pasted piece of another image moves a feature. It ranks "
    "the students of one search. It is not a verdict: a low score does not prove that an encoder "
    "is clean.",
    stands_for="asr",
    prepare=_prepare,
)
