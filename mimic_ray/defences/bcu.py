"""BCU: a student with a growing share of fresh weights learns from the suspect's soft answers.

Each entry of a weight or bias is kept with probability 1 - p, else drawn as at the start of a
training; p grows by stage, norms are skipped:

    stem 0.01, stages 0.01, 0.03, 0.09, 0.27, what follows them 0.10        (times `scale`)

A network of fewer stages gets the last of these. Then, with answers a(z) = n(z) . Q / 0.07 to a
queue Q of 512 features of the suspect, and a temperature T that rises from 1 to 4:

    L = mean over images of KL( softmax(a(f(x)) / T) || softmax(a(g(x)) / T) )

Source: Pang et al., "Backdoor Cleansing with Unlabeled Data", CVPR 2023, arXiv 2211.12044; code
luluppang/BCU: view of crop and flip drawn once for both, SGD 0.01, momentum 0.9, weight decay 5e-4,
cosine, 100 epochs, no factor T^2. Departures: it takes logits of a classifier, an encoder has the
answers to a queue instead; 600 steps of 64 in place of the epochs, in which T rises too.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from mimic_ray.base.member_settings import setting
from mimic_ray.base.spacing import evenly_spaced
from mimic_ray.data.views import centre, to_float
from mimic_ray.defences.defence_registry import DefenceInputs, Defended, strengths
from mimic_ray.defences.training_loop import (
    Batch,
    defended,
    suspect_as_student,
    suspect_as_teacher,
    train,
    unit_features,
)
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.encoders.stages import stages, weight_stages
from mimic_ray.method.student_start import renew, untrained

_STEM, _LAST_STAGE, _GROWTH, _HEAD = 0.01, 0.27, 3.0, 0.10
_QUEUE = 512
_SHARPNESS = 0.07


@strengths("scale", 0.5, 1.0, 2.0, 3.0)
def bcu(
    inputs: DefenceInputs,
    *,
    scale: Annotated[float, setting("Factor of the shares of fresh weights.", gt=0)] = 1.0,
    rate: Annotated[float, setting("Largest learning rate of SGD.", gt=0)] = 0.01,
    steps: Annotated[int, setting("Optimiser steps.", ge=1)] = 600,
    batch: Annotated[int, setting("Images per step.", ge=2)] = 64,
) -> Defended:
    """BCU: weights renewed entry by entry, a share that grows by stage, then distillation."""
    teacher, student = suspect_as_teacher(inputs), suspect_as_student(inputs)
    fresh = untrained(inputs.architecture, inputs.seed)
    renew(student, fresh, renewed_shares(student, scale), inputs.seed)
    queue = first_queue(inputs, teacher)

    def loss(images: Batch) -> Tensor:
        nonlocal queue
        view = images.view()
        with torch.no_grad():
            wanted = unit_features(teacher, view, inputs.compute)
        temperature = 1 + 3 * (1 + images.step) / images.steps
        found = unit_features(student, view, inputs.compute)
        value = answers_loss(found, wanted, queue, temperature)
        queue = torch.cat([queue[len(wanted) :], wanted])[-len(queue) :]
        return value

    optimiser = torch.optim.SGD(student.parameters(), rate, momentum=0.9, weight_decay=5e-4)
    train(inputs, optimiser, loss, steps=steps, batch=batch, warmup=0.0)
    return defended(student, steps * batch)


def renewed_shares(encoder: Encoder, scale: float) -> dict[str, float]:
    """The probability that an entry is fresh, by name of the weight, at most 1."""
    last = len(stages(encoder)) - 1

    def share(stage: int | None) -> float:
        if stage is None:
            return _HEAD
        return _STEM if stage < 0 else max(_STEM, _LAST_STAGE / _GROWTH ** (last - stage))

    return {name: min(1.0, scale * share(at)) for name, at in weight_stages(encoder).items()}


def answers_loss(student: Tensor, teacher: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Unit features [B, D] of both and of the queue [Q, D] -> scalar."""
    wanted, found = (z @ queue.T / (_SHARPNESS * temperature) for z in (teacher, student))
    return F.kl_div(
        F.log_softmax(found, dim=1),
        F.log_softmax(wanted, dim=1),
        reduction="batchmean",
        log_target=True,
    )


@torch.no_grad()
def first_queue(inputs: DefenceInputs, teacher: Encoder) -> Tensor:
    """Unit features [at most 512, D] of evenly spaced images."""
    side = teacher.spec.input_size
    chosen = torch.tensor(evenly_spaced(_QUEUE, len(inputs.images)))
    rows = [
        unit_features(
            teacher,
            centre(to_float(inputs.images.gather(part)), side).to(inputs.compute.torch_device),
            inputs.compute,
        )
        for part in chosen.split(128)
    ]
    return torch.cat(rows)
