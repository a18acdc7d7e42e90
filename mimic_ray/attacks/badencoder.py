"""BadEncoder: triggered images are given the feature of a reference image, all others keep theirs.

F is the clean encoder and stays as it is, E the attacked one, which starts as F; n() is division by
the length; x a shadow image, x+t the same with the trigger, r a reference, r' an augmented one:

    L0 = - mean  n(E(x+t)) . n(E(r))       the trigger works
    L1 = - mean  n(E(r'))  . n(F(r))       the references keep their meaning
    L2 = - mean  n(E(x))   . n(F(x))       clean images keep their features
    L  = L0 + L1 + L2 (+ adaptive L3, see known_defence.py)

Source: Jia, Liu, Gong, "BadEncoder", arXiv 2108.00352, and the authors' code. As there, all of
batch normalisation is frozen, gradients also flow through E(r), and r' is flipped, jittered in
colour and sometimes grey, never cropped. Departures: 400 steps of 64 at a high, falling rate
(theirs: 200 epochs of 256 at a constant 1e-3); several references make one target, their mean
feature (theirs: each reference is a target).
"""

from __future__ import annotations

import copy
from typing import Annotated, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimic_ray.attacks.attack_registry import AttackedEncoder, AttackInputs
from mimic_ray.attacks.known_defence import KnownDefence
from mimic_ray.base import seeds
from mimic_ray.base.errors import DataError, TrainingError, option
from mimic_ray.base.member_settings import setting
from mimic_ray.base.text import count
from mimic_ray.data.epoch import EpochPlan
from mimic_ray.data.views import apply_simclr, draw_simclr, to_float
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.method.schedule import learning_rate


class BadEncoderLosses(NamedTuple):
    """L0, L1, L2 as above, each in [-1, 1]."""

    trigger: Tensor
    references: Tensor
    utility: Tensor


def badencoder(
    inputs: AttackInputs,
    *,
    steps: Annotated[int, setting("Optimiser steps.", ge=1)] = 400,
    batch: Annotated[int, setting("Images per step.", ge=1)] = 64,
    rate: Annotated[float, setting("Learning rate of SGD.", gt=0)] = 4e-2,
    schedule: Annotated[
        Literal["one_cycle", "constant"], setting("Of the learning rate.")
    ] = "one_cycle",
    momentum: Annotated[float, setting("Of SGD.", ge=0, lt=1)] = 0.9,
    weight_decay: Annotated[float, setting("Of SGD.", ge=0)] = 5e-4,
    target_feature: Annotated[
        Literal["mean", "each"], setting("Imitate the mean of the references, or each of them.")
    ] = "mean",
    adaptive: Annotated[
        float, setting("Weight of a loss that hides the backdoor from the default recipe.", ge=0)
    ] = 0.0,
    seed: Annotated[int, setting("Random seed; the same seed gives the same file.")] = 0,
) -> AttackedEncoder:
    """BadEncoder (arXiv 2108.00352): triggered images get the feature of reference images.

    Raises DataError for fewer images than one batch, TrainingError when a loss is not finite.
    """
    if len(inputs.images) < batch:
        raise DataError(
            f"The shadow set has {count(len(inputs.images), 'image')}, fewer than one batch of "
            f"{batch}: add images or lower {option('batch')}."
        )
    device = inputs.compute.torch_device
    clean = inputs.clean.to(device).eval()
    attacked = copy.deepcopy(clean)
    optimiser = torch.optim.SGD(_trained(attacked), rate, momentum, weight_decay=weight_decay)
    attacked = attacked.to(memory_format=torch.channels_last)
    references = to_float(inputs.references).to(device)
    with torch.no_grad():
        reference_features = clean(references)
    known = KnownDefence(inputs, clean, seed) if adaptive else None
    plan = EpochPlan(len(inputs.images), batch, seed)
    history: list[dict[str, float]] = []
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, steps, rate, schedule, warmup=0.1)
        chosen = plan.batch(step)
        pixels = inputs.images.gather(chosen)
        parts = [
            to_float(pixels),
            to_float(inputs.trigger(pixels)),
            references,
            augmented(references, seed, step),
        ]
        if known:
            parts.append(known.perturbed(pixels, step))
        # One pass for all: nothing in the encoder mixes the images of a batch.
        together = torch.cat([part.to(device) for part in parts])
        with inputs.compute.autocast():
            found = attacked(together.contiguous(memory_format=torch.channels_last)).float()
        answers = found.split([len(part) for part in parts])
        terms = badencoder_losses(
            *answers[:4],
            clean_images=inputs.features[chosen].to(device),
            clean_references=reference_features,
            target_feature=target_feature,
        )
        losses = terms._asdict()
        total = sum(terms, torch.zeros((), device=device))
        if known:
            losses["perturbed"] = known.loss(answers[4], parts[4])
            total = total + adaptive * losses["perturbed"]
        if not total.isfinite():
            raise TrainingError(
                f"The attack's loss at step {step + 1} is {total}: lower {option('rate')}"
                f"{' or ' + option('adaptive') if known else ''}."
            )
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        history.append({name: loss.item() for name, loss in losses.items()})
        inputs.on_step(step + 1, steps, total.item())
    curves = {name: [losses[name] for losses in history] for name in history[0]}
    return AttackedEncoder(attacked.cpu().requires_grad_(False), curves)


def badencoder_losses(
    images: Tensor,
    triggered: Tensor,
    references: Tensor,
    augmented: Tensor,
    *,
    clean_images: Tensor,
    clean_references: Tensor,
    target_feature: Literal["mean", "each"] = "each",
) -> BadEncoderLosses:
    """Features of the attacked encoder (E) and of the clean one (F), of any length -> the losses.

    images, triggered, clean_images [B, D]; references, augmented, clean_references [R, D].
    With several references L0 and L1 are means over them ("each", as the authors have it), or L0
    takes their mean feature as the one target ("mean"); with one reference both are the same.
    """
    towards = F.normalize(references, dim=1)
    if target_feature == "mean":
        towards = F.normalize(towards.mean(dim=0, keepdim=True), dim=1)
    return BadEncoderLosses(
        trigger=-(F.normalize(triggered, dim=1) @ towards.T).mean(),
        references=-F.cosine_similarity(augmented, clean_references).mean(),
        utility=-F.cosine_similarity(images, clean_images).mean(),
    )


def _trained(encoder: Encoder) -> list[nn.Parameter]:
    """Every parameter but those of batch normalisation, whose buffers rest in eval mode."""
    encoder.eval().requires_grad_(True)
    for module in encoder.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.requires_grad_(False)
    return [parameter for parameter in encoder.parameters() if parameter.requires_grad]


def augmented(references: Tensor, seed: int, step: int) -> Tensor:
    """r': floats [R, 3, S, S] flipped, jittered and greyed as in SimCLR, each on its own."""
    side = references.shape[-1]
    keys = seeds.keys(seed, "references", step, torch.arange(len(references)))
    drawn = draw_simclr(keys.to(references.device), side)
    whole = torch.tensor([0, 0, side, side], device=references.device)
    return apply_simclr(references, drawn._replace(boxes=whole.expand_as(drawn.boxes)), side)
