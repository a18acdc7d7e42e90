"""Student and teacher as a distillation trains them: on the device, wrapped for the workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from mimic_ray.base import seeds
from mimic_ray.base.devices import Compute
from mimic_ray.encoders.blocks import checkpoint_activations
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.method.collectives import ProcessGroup
from mimic_ray.method.compiled import compile_encoder, missing_compiler
from mimic_ray.method.recipe import Recipe
from mimic_ray.method.strategy import Forward, Strategy
from mimic_ray.method.student import Student, channels_last_where_it_pays
from mimic_ray.method.synchronised_norm import synchronise


@dataclass(frozen=True)
class Networks:
    """`forward` is what a step calls: the student, or DistributedDataParallel around it."""

    student: Student
    forward: Forward
    teacher: Encoder
    notes: list[str] = field(default_factory=list)  # for the user, a sentence each


def prepare_networks(
    student: Encoder,
    teacher: Encoder,
    recipe: Recipe,
    taps: Sequence[str],
    projects: bool,
    compute: Compute,
    group: ProcessGroup,
    strategy: Strategy,
) -> Networks:
    """The student in train mode, the teacher frozen, both changed in place.

    `projects` says whether the student needs a projector, for a term with a second view.
    """
    training, device = recipe.training, compute.torch_device
    with torch.random.fork_rng(devices=[]):
        # The projector depends on the run's seed alone.
        torch.manual_seed(int(seeds.keys(training.seed, "projector")))
        trained = Student(student, taps, projects, recipe.views.repeat_statistics).to(device)
    trained.requires_grad_(True).train()
    teacher.to(device).requires_grad_(False).eval()
    channels_last_where_it_pays(student)
    channels_last_where_it_pays(teacher)
    # From the inside out: norms, compiled units, checkpointed units, then the workers.
    if training.sync_batch_norm and group.world_size > 1:
        synchronise(trained, device)
    notes = []
    if training.compile:
        if reason := missing_compiler():
            notes.append(reason)
        else:
            compile_encoder(student)
            compile_encoder(teacher)
    if training.checkpoint_activations:
        checkpoint_activations(student)
    forward = strategy.wrap_student(trained, training.accumulate)
    strategy.wrap_teacher(teacher)
    return Networks(trained, forward, teacher, notes)
