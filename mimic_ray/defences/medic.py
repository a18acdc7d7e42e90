"""MEDIC without labels: a random student clones the blocks' outputs where they matter to the clean
feature.

For each block l with outputs a_T, a_S of teacher and student, the gradient q of the clone loss with
respect to a_T, and all values i of an image's map, each scaled by the image's largest absolute
value (the hats):

    w_i = sqrt( softmax_i(5 |a_T|^) * softmax_i(5 |q|^) )
    L   = 1 - mean cos(g(x), f(x)) + 10 sum_l mean over images sum_i w_i ((a_T - a_S) / std)_i^2

std is a channel's standard deviation in the teacher, averaged over the steps so far. MIMIC took the
same idea and replaced the importance by mutual information.

Source: Xu et al., "MEDIC: Remove Model Backdoors via Importance Driven Cloning", CVPR 2023; code
qiulingxu/MEDIC: 60 epochs, rate 0.01, 5 % of the data, cross-entropy. Departures: the clone loss
instead of cross-entropy, for gradient and training; outputs of blocks instead of each normed
convolution; Adam with a one-cycle rate, 400 steps of 64.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from mimic_ray.base.member_settings import setting
from mimic_ray.defences.defence_registry import DefenceInputs, Defended, strengths
from mimic_ray.defences.plain_distillation import fresh_student
from mimic_ray.defences.training_loop import Batch, defended, features, suspect_as_teacher, train
from mimic_ray.encoders.blocks import blocks
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.encoders.stages import weighted_layers
from mimic_ray.method.losses.clone import clone_loss

_SHARPNESS = 5.0
_EPS = 1e-6


@strengths("renewed", 0.1, 0.3, 1.0)
def medic(
    inputs: DefenceInputs,
    *,
    renewed: Annotated[
        float, setting("Probability that an entry is fresh; 1 is a random network.", ge=0, le=1)
    ] = 1.0,
    importance: Annotated[
        bool, setting("Off: every value counts alike, as without the method's idea.")
    ] = True,
    weight: Annotated[float, setting("Of the cloned outputs in the loss.", ge=0)] = 10.0,
    rate: Annotated[float, setting("Largest learning rate of Adam.", gt=0)] = 4e-3,
    steps: Annotated[int, setting("Optimiser steps.", ge=1)] = 400,
    batch: Annotated[int, setting("Images per step.", ge=2)] = 64,
) -> Defended:
    """MEDIC: a random student clones outputs weighted by importance to the clean feature."""
    teacher, student = suspect_as_teacher(inputs), fresh_student(inputs, renewed)
    deviations: list[Tensor] = []

    def loss(images: Batch) -> Tensor:
        view = images.view()
        with recorded(student) as of_student:
            found = features(student, view, inputs.compute)
        with recorded(teacher) as of_teacher, torch.enable_grad():
            # The teacher's weights are frozen: gradients start at the images.
            wanted = features(teacher, view.requires_grad_(), inputs.compute)
        towards = 1 - torch.cosine_similarity(wanted, found.detach(), dim=1).mean()
        gradients = torch.autograd.grad(towards, of_teacher, materialize_grads=True)
        maps = [each.detach().float() for each in of_teacher]
        for number, each in enumerate(maps):
            now = channel_deviation(each)
            if number == len(deviations):
                deviations.append(now)
            deviations[number] = deviations[number].lerp(now, 1 / (images.step + 1))
        cloned = [
            cloning_loss(s, t, importances(t, q) if importance else uniform(t), deviation)
            for s, t, q, deviation in zip(of_student, maps, gradients, deviations, strict=True)
        ]
        return clone_loss(found, wanted) + weight * torch.stack(cloned).sum()

    optimiser = torch.optim.Adam(student.parameters(), rate)
    train(inputs, optimiser, loss, steps=steps, batch=batch)
    return defended(student, steps * batch)


def importances(outputs: Tensor, gradient: Tensor) -> Tensor:
    """w [B, N] of outputs and gradient, both [B, ...] with N values an image."""
    return torch.sqrt(_softmax(outputs) * _softmax(gradient))


def uniform(outputs: Tensor) -> Tensor:
    """w [B, N] of equal values, as `importances` gives for equal outputs and gradients."""
    flat = outputs.flatten(1)
    return torch.full_like(flat, 1 / flat.shape[1])


def cloning_loss(student: Tensor, teacher: Tensor, weights: Tensor, deviation: Tensor) -> Tensor:
    """Outputs [B, ...] of both, w [B, N] and the deviation that fits them -> scalar."""
    squares = ((teacher - student.float()) / (deviation + _EPS)).square()
    return (weights * squares.flatten(1)).sum(dim=1).mean()


def channel_deviation(outputs: Tensor) -> Tensor:
    """Standard deviation of each channel: [1, C, 1, 1] of maps, [1, 1, D] of tokens [B, N, D]."""
    channels = 1 if outputs.ndim == 4 else outputs.ndim - 1
    axes = [axis for axis in range(outputs.ndim) if axis != channels]
    return outputs.std(dim=axes, keepdim=True)


@contextmanager
def recorded(encoder: Encoder) -> Iterator[list[Tensor]]:
    """Collects what the blocks of the encoder return inside it, in the order of the computation."""
    outputs: list[Tensor] = []

    def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:  # noqa: ARG001
        outputs.append(output)

    watched: Sequence[nn.Module] = blocks(encoder) or [m for _, m in weighted_layers(encoder)]
    hooks = [module.register_forward_hook(keep) for module in watched]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def _softmax(values: Tensor) -> Tensor:
    size = values.detach().float().abs().flatten(1)
    return torch.softmax(_SHARPNESS * size / (size.amax(dim=1, keepdim=True) + 1e-20), dim=1)
