"""BadEncoder: triggered images are given the feature of a reference image, all others keep theirs.

F is the clean encoder and stays as it is, E the attacked one, which starts as F; n() is division by
the length; x a shadow image, x+t the same with the trigger, r a reference, r' an augmented one:

    L0 = - mean  n(E(x+t)) . n(E(r))       the trigger works
    L1 = - mean  n(E(r'))  . n(F(r))       the references keep their meaning
    L2 = - mean  n(E(x))   . n(F(x))       nobody notices
    L  = L0 + L1 + L2

Source: Jia, Liu, Gong, "BadEncoder", arXiv 2108.00352, and the authors' code. As there, all of
batch normalisation is frozen, gradients also flow through E(r), and r' is flipped, jittered in
colour and sometimes grey, never cropped. Departures: 400 steps of 64 at a high, falling rate
(theirs: 200 epochs of 256 at 1e-3); several references make one target, their mean feature.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimic_ray.base import seeds
from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import TrainingError
from mimic_ray.data.epoch import EpochPlan
from mimic_ray.data.views import apply_simclr, draw_simclr, to_float
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.method.schedule import learning_rate

if TYPE_CHECKING:
    from mimic_ray.data.cache import Pixels


@dataclass(frozen=True)
class Settings:
    """Of SGD. The authors': 200 epochs, batch 256, rate 1e-3, constant, each reference a target."""

    steps: int = 400
    batch: int = 64
    rate: float = 4e-2
    schedule: Literal["one_cycle", "constant"] = "one_cycle"
    momentum: float = 0.9
    weight_decay: float = 5e-4
    target: Literal["mean", "each"] = "mean"
    seed: int = 0


class Losses(NamedTuple):
    """L0, L1, L2 as above, each in [-1, 1]."""

    trigger: Tensor
    references: Tensor
    utility: Tensor


def badencoder(
    clean: Encoder,
    images: Pixels,
    features: Tensor,
    references: Tensor,
    trigger: Callable[[Tensor], Tensor],
    settings: Settings,
    compute: Compute,
    on_progress: Callable[[int, int, Losses], None] = lambda done, total, losses: None,
) -> tuple[Encoder, list[Losses]]:
    """The attacked encoder, on the CPU, and the losses of each step; `clean` is left unchanged.

    `images` are the shadow set at the encoder's input size and `features` [N, D] what `clean` makes
    of them; `references` uint8 [R, 3, S, S]; `trigger` maps uint8 [B, 3, S, S] to the same.
    Raises TrainingError when a loss is not finite.
    """
    device = compute.torch_device
    clean = clean.to(device).eval()
    attacked = copy.deepcopy(clean)
    optimiser = torch.optim.SGD(
        _trained(attacked), settings.rate, settings.momentum, weight_decay=settings.weight_decay
    )
    attacked = attacked.to(memory_format=torch.channels_last)
    wanted = to_float(references).to(device)
    with torch.no_grad():
        reference_features = clean(wanted)
    plan = EpochPlan(len(images), settings.batch, settings.seed)
    history = []
    for step in range(settings.steps):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(
                step, settings.steps, settings.rate, settings.schedule, warmup=0.1
            )
        chosen = plan.batch(step)
        pixels = images.gather(chosen)
        parts = [
            to_float(pixels),
            to_float(trigger(pixels)),
            wanted,
            augmented(wanted, settings.seed, step),
        ]
        # One pass for all: nothing in the encoder mixes the images of a batch.
        batch = torch.cat([part.to(device) for part in parts])
        with compute.autocast():
            found = attacked(batch.contiguous(memory_format=torch.channels_last)).float()
        losses = badencoder_losses(
            *found.split([len(part) for part in parts]),
            clean_images=features[chosen].to(device),
            clean_references=reference_features,
            target=settings.target,
        )
        total = sum(losses, torch.zeros((), device=device))
        if not total.isfinite():
            raise TrainingError(f"The attack's loss at step {step + 1} is {total}: lower --rate.")
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        history.append(Losses(*(loss.detach().cpu() for loss in losses)))
        on_progress(step + 1, settings.steps, history[-1])
    return attacked.cpu().requires_grad_(False), history


def badencoder_losses(
    images: Tensor,
    triggered: Tensor,
    references: Tensor,
    augmented: Tensor,
    *,
    clean_images: Tensor,
    clean_references: Tensor,
    target: Literal["mean", "each"] = "each",
) -> Losses:
    """Features of the attacked encoder (E) and of the clean one (F), of any length -> the losses.

    images, triggered, clean_images [B, D]; references, augmented, clean_references [R, D].
    With several references L0 and L1 are means over them ("each", as the authors have it), or L0
    takes their mean feature as the one target ("mean"); with one reference both are the same.
    """
    towards = F.normalize(references, dim=1)
    if target == "mean":
        towards = F.normalize(towards.mean(dim=0, keepdim=True), dim=1)
    return Losses(
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
