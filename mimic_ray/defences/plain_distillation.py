"""Plain distillation: a student with new weights learns from the fine-tuned suspect encoder.

The teacher T is the suspect encoder after SimCLR steps on the clean images (`teacher_steps` = 0:
the suspect encoder itself). The student's weights are renewed entry by entry with probability
`renewed`, 1 being a random network, and first trained by some SimCLR steps. Then

    L = 1 - mean cos(g(x), T(x)) + sum_l beta_l mean (A_l(g) - A_l(T))^2

with the attention term of `nad.py`.

Source: "Can Distillation Mitigate Backdoor Attacks in Pre-trained Encoders?", arXiv 2403.03846:
fine-tuned teacher, warmed-up student and attention loss are its best combination.
Departures: 400 steps of 64 with Adam's one-cycle rate; views of flip and shift in the distillation.
"""

from __future__ import annotations

from typing import Annotated

import torch

from mimic_ray.base.member_settings import setting
from mimic_ray.defences.defence_registry import DefenceInputs, Defended, strengths
from mimic_ray.defences.nad import distil
from mimic_ray.defences.simclr_tuning import HEADS_AGAIN, continue_simclr, simclr_steps
from mimic_ray.defences.training_loop import defended, phases, suspect_as_student
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.encoders.stages import weight_stages
from mimic_ray.method.student import channels_last_where_it_pays
from mimic_ray.method.student_start import renew, untrained


@strengths("renewed", 0.1, 0.3, 1.0)
def distillation(
    inputs: DefenceInputs,
    *,
    renewed: Annotated[
        float, setting("Probability that an entry is fresh; 1 is a random network.", ge=0, le=1)
    ] = 1.0,
    attention: Annotated[float, setting("Factor of the attention term.", ge=0)] = 1.0,
    rate: Annotated[float, setting("Largest learning rate of Adam.", gt=0)] = 4e-3,
    steps: Annotated[int, setting("Optimiser steps of the distillation.", ge=1)] = 400,
    teacher_steps: Annotated[int, setting("SimCLR steps of the teacher.", ge=0)] = 100,
    warm_up_steps: Annotated[int, setting("SimCLR steps of the student.", ge=0)] = 50,
    tuning_rate: Annotated[float, setting("Largest rate of Adam in SimCLR.", gt=0)] = 1e-3,
    batch: Annotated[int, setting("Images per step.", ge=2)] = 64,
) -> Defended:
    """Plain distillation from the fine-tuned suspect encoder into a fresh student."""
    teacher, student = suspect_as_student(inputs), fresh_student(inputs, renewed)
    *tunings, last = phases(inputs, simclr_steps(teacher_steps), simclr_steps(warm_up_steps), steps)
    seen = steps * batch
    tuned = ((teacher, teacher_steps), (student, warm_up_steps))
    for phase, (encoder, length) in zip(tunings, tuned, strict=True):
        if length:
            seen += continue_simclr(phase, encoder, steps=length, batch=batch, rate=tuning_rate)
    teacher.requires_grad_(False).eval()
    student.requires_grad_(True).train()
    optimiser = torch.optim.Adam(student.parameters(), rate)
    distil(last, optimiser, student, teacher, scale=attention, steps=steps, batch=batch)
    notes = (HEADS_AGAIN,) if teacher_steps else ()
    return defended(student, seen, *notes)


def fresh_student(inputs: DefenceInputs, renewed: float) -> Encoder:
    """The suspect encoder with that share of fresh entries on the device; at 1 all is random."""
    fresh = untrained(inputs.architecture, inputs.seed)
    if renewed == 1:
        student = fresh.to(inputs.compute.torch_device)
        channels_last_where_it_pays(student)
        return student.train()
    student = suspect_as_student(inputs)
    renew(student, fresh, dict.fromkeys(weight_stages(student), renewed), inputs.seed)
    return student
