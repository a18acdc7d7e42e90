"""SAU in encoder form: unlearning of changes that move suspect and student alike.

An ordinary adversarial change moves two encoders differently, an inherited shortcut moves both to
the same point. With a_h(x) = n(h(x + d)) - n(f(x)) and c the mean cosine of the features f(x + d)
of different images, a common change d ascends

    mean a_f(x) . a_g(x)  +  concentration * c          a . b = |a| |b| cos(a, b)

and the student lowers 1 - mean cos(g(x'), f(x)), where x' is x + d for a share of the images and x
for the rest. The student's own plain features, which stay near f(x), would cost one more pass. The
changes are those of `method/adversary.py`:
free pixels, waves, coarse fields and patches, each renewed after some uses, one in a step.

Source: Wei et al., "Shared Adversarial Unlearning", NeurIPS 2023, arXiv 2307.10562: a change must
give suspect and student the same wrong label; L-infinity 0.2, 5 ascent steps of 0.2, Adam 1e-4, 100
rounds of batches of 256. Departures: features instead of labels; one change for many images instead
of one each; one ascent a step, from the same forward pass; 300 steps of 64.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from mimic_ray.base.member_settings import setting
from mimic_ray.defences.defence_registry import DefenceInputs, Defended, strengths
from mimic_ray.defences.training_loop import (
    Batch,
    defended,
    features,
    suspect_as_student,
    suspect_as_teacher,
    train,
    unit_features,
)
from mimic_ray.method.adversary import UniversalAdversary
from mimic_ray.method.losses.clone import clone_loss
from mimic_ray.method.recipe_sections import Adversary


@strengths("size", 0.05, 0.1, 0.2, 0.4)
def sau(
    inputs: DefenceInputs,
    *,
    size: Annotated[float, setting("Largest change of a pixel in [0, 1].", gt=0, le=1)] = 0.2,
    share: Annotated[float, setting("Of the images that carry the change.", gt=0, le=1)] = 0.5,
    uses: Annotated[int, setting("Steps after which a change is renewed.", ge=1)] = 16,
    concentration: Annotated[float, setting("Weight of c.", ge=0)] = 0.5,
    rate: Annotated[float, setting("Largest learning rate of Adam.", gt=0)] = 1e-3,
    steps: Annotated[int, setting("Optimiser steps.", ge=1)] = 300,
    batch: Annotated[int, setting("Images per step.", ge=2)] = 64,
) -> Defended:
    """SAU: common changes that move suspect and student alike are found and unlearnt."""
    teacher, student = suspect_as_teacher(inputs), suspect_as_student(inputs)
    compute, device = inputs.compute, inputs.compute.torch_device
    settings = Adversary(size=size, share=share, uses=uses, slots_per_step=1)
    adversary = UniversalAdversary(settings, teacher.spec.input_size, inputs.seed, device)

    def loss(images: Batch) -> Tensor:
        view = images.view()
        changed, leaf, used = adversary.attach(view, images.keys.cpu(), images.step)
        with torch.no_grad():
            wanted = features(teacher, view, compute)
        found = features(student, changed, compute)
        carrying = (changed.detach() != view).flatten(1).any(dim=1)
        if carrying.sum() > 1:
            goal = shared_goal(
                unit_features(teacher, changed[carrying], compute),
                F.normalize(found[carrying], dim=1),
                F.normalize(wanted[carrying], dim=1),
                concentration,
            )
            (gradient,) = torch.autograd.grad(goal, leaf, retain_graph=True)
            adversary.improve(gradient, used)
        return clone_loss(found, wanted)

    optimiser = torch.optim.Adam(student.parameters(), rate)
    train(inputs, optimiser, loss, steps=steps, batch=batch)
    return defended(student, steps * batch)


def shared_goal(teacher: Tensor, student: Tensor, plain: Tensor, concentration: float) -> Tensor:
    """Unit features [B, D] of changed images by both, of the plain ones by the teacher -> scalar.

    It is to be raised; B >= 2.
    """
    count = len(teacher)
    alike = ((teacher - plain) * (student - plain)).sum(dim=1).mean()
    cosines = teacher @ teacher.T
    together = (cosines.sum() - cosines.diagonal().sum()) / (count * (count - 1))
    return alike + concentration * together
