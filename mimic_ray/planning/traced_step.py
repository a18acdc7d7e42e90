"""One training step as the planner sees it: the networks and losses of a run, without its images.

The same code runs on fake tensors, to count what a step costs, and on a device, to measure it.
What the host does for a step (decoding, views, perturbations) is not in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mimic_ray.base.devices import Compute
from mimic_ray.encoders.blocks import checkpoint_activations
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.method.process_group import ProcessGroup
from mimic_ray.method.recipe import Recipe
from mimic_ray.method.step import step_loss
from mimic_ray.method.student import Student, channels_last_where_it_pays
from mimic_ray.method.student_teacher_views import Pair
from mimic_ray.method.teacher import TeacherOutput, teacher_forward


@dataclass
class Step:
    """A step in its parts. Views are [B, 3, S, S]; the adversary asks for the student's gradient
    with respect to its images."""

    student: Student
    teacher: Encoder
    optimiser: torch.optim.Optimizer
    pair: Pair
    compute: Compute
    recipe: Recipe
    recorded: TeacherOutput | None = None  # from the cache, where the teacher runs only once

    @property
    def tap_weights(self) -> dict[str, float]:
        wanted = self.recipe.loss.attention > 0
        return dict.fromkeys(self.student.encoder.spec.taps, 1.0) if wanted else {}

    def teacher_output(self) -> TeacherOutput:
        """The teacher's forward pass, or its cached output copied to the device."""
        if self.recorded:
            features, attention = self.recorded
            return TeacherOutput(features.clone(), [tap.clone() for tap in attention])
        taps = list(self.tap_weights)
        return teacher_forward(self.teacher, self.pair.teacher, taps, self.compute)

    def loss(self, teacher: TeacherOutput) -> Tensor:
        """The student's forward and the terms."""
        weights = self.recipe.loss
        return step_loss(
            self.student,
            teacher,
            self.pair,
            self.tap_weights,
            weights,
            self.compute,
            ProcessGroup(),
        )["loss"]

    def take(self, after: Callable[[str], None] = lambda part: None) -> None:
        """All of it once; `after` hears "teacher", "forward", "backward" and "optimiser"."""
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
    """A step of `batch` images in memory on the device of `compute`.

    `fake` inside a FakeTensorMode: such modules cannot be moved, nor laid out anew.
    """
    device = compute.torch_device
    wanted = recipe.loss.contrastive > 0
    taps = list(student.spec.taps) if recipe.loss.attention > 0 else []
    trained = Student(student, taps, wanted, recipe.views.repeat_statistics).train()
    teacher.requires_grad_(False).eval()
    if not fake:
        trained.to(device)
        teacher.to(device)
        channels_last_where_it_pays(student)
        channels_last_where_it_pays(teacher)
    if recipe.training.checkpoint_activations:
        checkpoint_activations(student)
    shape = (batch, 3, student.spec.input_size, student.spec.input_size)
    seen = torch.rand(shape, device=device)
    # Equal views share their memory, as they do in the loop.
    given = torch.rand(shape, device=device) if recipe.views.asymmetric else seen
    given = given.requires_grad_(recipe.adversary.active)
    second = torch.rand(shape, device=device) if wanted else None
    optimiser = torch.optim.Adam(trained.parameters(), lr=1e-4, fused=True)
    return Step(trained, teacher, optimiser, Pair(seen, given, second), compute, recipe)
