"""I-BAU in encoder form: rounds of finding one common change of all images and unlearning it.

A round makes one change d from noise of 1/255 by SGD ascent, with rate 10, on

    1 - mean cos(g(x + d), f(x)) - 0.001 |d|^2

and then lowers 1 - mean cos(g(x'), f(x)), where x' is x + d for a share of the batch and x for the
rest. x + d is clamped to [0, 1].

Source: Zeng et al., "Adversarial Unlearning of Backdoors via Implicit Hypergradient", ICLR 2022,
arXiv 2110.03735; code YiZeng623/I-BAU: 5 rounds, SGD with rate 10 over one pass, Adam 1e-3, batches
of 100, of which 1 % carries d.
Departures: cosine to the suspect's feature instead of cross-entropy to its own prediction; plain
alternation without the hypergradient; d starts as noise, since the cosine has no gradient at 0; the
share is the strength; a round has 30 steps for d and 90 for the weights.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from mimic_ray.base import seeds
from mimic_ray.base.member_settings import setting
from mimic_ray.defences.defence_registry import DefenceInputs, Defended, strengths
from mimic_ray.defences.training_loop import (
    Batch,
    defended,
    features,
    phases,
    suspect_as_student,
    suspect_as_teacher,
    train,
)
from mimic_ray.method.losses.clone import clone_loss


@strengths("share", 0.01, 0.1, 0.3, 1.0)
def i_bau(
    inputs: DefenceInputs,
    *,
    share: Annotated[float, setting("Of a batch that carries the change.", gt=0, le=1)] = 0.3,
    rate: Annotated[float, setting("Largest learning rate of Adam, each round.", gt=0)] = 1e-3,
    adversary_rate: Annotated[float, setting("Rate of SGD on the change.", gt=0)] = 10.0,
    penalty: Annotated[float, setting("Weight of the change's squared length.", ge=0)] = 1e-3,
    rounds: Annotated[int, setting("Changes that are found and unlearnt.", ge=1)] = 5,
    adversary_steps: Annotated[int, setting("Steps to find one.", ge=1)] = 30,
    steps: Annotated[int, setting("Steps to unlearn one.", ge=1)] = 90,
    batch: Annotated[int, setting("Images per step.", ge=2)] = 64,
) -> Defended:
    """I-BAU: common changes of all images are found and unlearnt in rounds."""
    teacher, student = suspect_as_teacher(inputs), suspect_as_student(inputs)
    compute, side = inputs.compute, inputs.suspect.spec.input_size

    def distance(view: Tensor, changed: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = features(teacher, view, compute)
        return clone_loss(features(student, changed, compute), wanted)

    lengths = [adversary_steps, steps] * rounds
    turns = phases(inputs, *lengths)
    for number in range(rounds):
        draws = seeds.uniform(seeds.keys(inputs.seed, "change", number), 3 * side * side)
        change = ((2 * draws - 1) / 255).view(3, side, side).to(compute.torch_device)
        change.requires_grad_()

        def ascend(images: Batch, change: Tensor = change) -> Tensor:
            view = images.view()
            moved = distance(view, (view + change).clamp(0, 1))
            return penalty * change.square().sum() - moved

        def unlearn(images: Batch, change: Tensor = change) -> Tensor:
            view = images.view()
            count = max(1, round(share * len(view)))
            changed = (view[:count] + change).clamp(0, 1)
            return distance(view, torch.cat([changed, view[count:]]))

        student.requires_grad_(False).eval()
        train(
            turns[2 * number],
            torch.optim.SGD([change], adversary_rate),
            ascend,
            steps=adversary_steps,
            batch=batch,
            schedule="constant",
        )
        change.requires_grad_(False)
        student.requires_grad_(True).train()
        optimiser = torch.optim.Adam(student.parameters(), rate)
        train(turns[2 * number + 1], optimiser, unlearn, steps=steps, batch=batch)
    return defended(student, sum(lengths) * batch)
