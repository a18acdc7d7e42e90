"""Fidelity: how much of the teacher's work the student does."""

from __future__ import annotations

from mimic_ray.evaluation.fidelity import fidelity
from mimic_ray.search.objectives.objective_registry import Objective, StudentInputs


def _measure(student: StudentInputs) -> dict[str, float]:
    found = fidelity(student.features, student.teacher_features)
    return {"fidelity": found.score, "cosine": found.cosine, "overlap": found.overlap}


FIDELITY = Objective(
    "maximize",
    _measure,
    "The mean of two numbers on held-out images: the cosine between the features of student and "
    "teacher, and the share of each image's 10 nearest neighbours that stay the same.",
    tolerance=0.02,
    stands_for="acc",
)
