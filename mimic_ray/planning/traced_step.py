"""One training step for planning: the networks and losses of a run, on random images.

It runs on fake tensors to count its cost, and on a device to measure it. It has no decoding, views
or perturbations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mimic_ray.base.devices import Compute
from mimic_ray.encoders.blocks import checkpoint_activations
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.method.collectives import ProcessGroup
from mimic_ray.method.losses.weighted_terms import (
    WeightedTerm,
    uses_second_view,
    uses_taps,
    weighted_terms,
)
from mimic_ray.method.recipe import Recipe
from mimic_ray.method.step import step_loss
from mimic_ray.method.student import Student, channels_last_where_it_pays
from mimic_ray.method.student_teacher_views import Pair
from mimic_ray.method.teacher import teacher_forward
from mimic_ray.method.teacher_output import TeacherOutput


@dataclass
class Step:
    """A step in parts. Views are [B, 3, S, S]; with an adversary the student's images need a
    gradient."""

    student: Student
    teacher: Encoder
    optimiser: torch.optim.Optimizer
    pair: Pair
    compute: Compute
    terms: dict[str, WeightedTerm]
    cached_output: TeacherOutput | None = None  # if the teacher does not run in the step

    @property
    def tap_weights(self) -> dict[str, float]:
        taps = self.student.encoder.spec.taps if uses_taps(self.terms.values()) else ()
        return dict.fromkeys(taps, 1.0)

    def teacher_output(self) -> TeacherOutput:
        """The teacher's forward pass, or its cached output copied to the device."""
        if self.cached_output:
            features, attention = self.cached_output
            return TeacherOutput(features.clone(), [tap.clone() for tap in attention])
        taps = list(self.tap_weights)
        return teacher_forward(self.teacher, self.pair.teacher, taps, self.compute)

    def loss(self, teacher: TeacherOutput) -> Tensor:
        """The student's forward pass and the loss."""
        return step_loss(
            self.student,
            teacher,
            self.pair,
            self.tap_weights,
            self.terms,
            self.compute,
            ProcessGroup(),
        )["loss"]

    def take(self, after: Callable[[str], None] = lambda part: None) -> None:
        """One step; `after` is called with "teacher", "forward", "backward" and "optimiser"."""
        self.optimiser.zero_grad(set_to_none=True)
        output = self.teacher_output()
        after("teacher")
        loss = self.loss(output)
        after("forward")
        loss.backward()
        after("backward")
        self.optimiser.step()
        after("optimiser")


def make_step(
    student: Encoder,
    teacher: Encoder,
    recipe: Recipe,
    batch: int,
    compute: Compute,
    fake: bool = False,
) -> Step:
    """A step of `batch` random images on the device of `compute`.

    Set `fake` inside a FakeTensorMode, where modules cannot be moved or change memory format.
    """
    device = compute.torch_device
    terms = weighted_terms(recipe.loss)
    projects = uses_second_view(terms.values())
    taps = list(student.spec.taps) if uses_taps(terms.values()) else []
    trained = Student(student, taps, projects, recipe.views.repeat_statistics).train()
    teacher.requires_grad_(False).eval()
    if not fake:
        trained.to(device)
        teacher.to(device)
        channels_last_where_it_pays(student)
        channels_last_where_it_pays(teacher)
    if recipe.training.checkpoint_activations:
        checkpoint_activations(student)
    shape = (batch, 3, student.spec.input_size, student.spec.input_size)
    for_teacher = torch.rand(shape, device=device)
    # Equal views share memory, as in the loop.
    for_student = torch.rand(shape, device=device) if recipe.views.asymmetric else for_teacher
    for_student = for_student.requires_grad_(recipe.adversary.active)
    second = torch.rand(shape, device=device) if projects else None
    optimiser = torch.optim.Adam(trained.parameters(), lr=1e-4, fused=True)
    return Step(trained, teacher, optimiser, Pair(for_teacher, for_student, second), compute, terms)
