"""Universal sensitivity: how far one change of all images pulls their features together.

A backdoor trigger is such a change. Candidates come from the perturbation families: a family and a
key determine a change, and the same key for all images makes it universal.

    c(X)   = mean cosine of the features of different images of X
    response = (c(changed) - c(plain)) / (1 - c(plain))      1: all images have the same feature

The displacement of features would say less, because a backdoor moves all of them to one point.
Candidates are screened on a few images and measured on others. Changes that the teacher responds
to, whose backdoor is intact, are also tried on its students. Gradient ascent was tried and finds
changes that every clean encoder responds to; see docs/measurements.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from mimic_ray.base import seeds
from mimic_ray.base.devices import Compute
from mimic_ray.data.perturbations.perturbation_registry import PERTURBATIONS
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.evaluation.suspicion.frozen import batch_size, concentration, unit_features

# Warp and blur are not included, because they add nothing that images could have in common.
FAMILIES = ("patch", "blend", "frequency", "noise", "colour")

# Sufficient to find changes that pull features together, not to measure how far.
SCREENED_ON = 8

# Keys of changes by family, the strongest response first.
Changes = Mapping[str, tuple[int, ...]]


def screen(
    encoder: Encoder,
    images: Tensor,
    compute: Compute,
    seed: int,
    *,
    candidates: int,
    kept: int,
    on_images: Callable[[int], None] = lambda images: None,
) -> dict[str, tuple[int, ...]]:
    """The `kept` changes of each family with the strongest response among `candidates`.

    The encoder is frozen; images [N, 3, S, S] in [0, 1] on the device, N >= 2. `on_images` gets the
    number of images of each forward pass.
    """
    found = {}
    for family in FAMILIES:
        keys = seeds.keys(seed, "universal", family, torch.arange(candidates))
        response = responses(
            encoder, images[:SCREENED_ON], family, keys, images, compute, on_images
        )
        # A stable sort, so that equal responses give the same changes on every machine.
        order = response.cpu().argsort(descending=True, stable=True)[:kept]
        found[family] = tuple(keys[order].tolist())
    return found


def universal(
    encoder: Encoder, images: Tensor, changes: Changes, donors: Tensor, compute: Compute
) -> float:
    """The strongest response to any of the changes, in [0, 1].

    The encoder is frozen; images [N, 3, S, S] were not used in the screening. `donors` are the
    images of the screening, because some changes paste a part of one.
    """
    strongest = [
        responses(encoder, images, family, torch.tensor(keys), donors, compute).max()
        for family, keys in changes.items()
    ]
    return float(torch.stack(strongest).max().clamp(0, 1))


@torch.no_grad()
def responses(
    encoder: Encoder,
    images: Tensor,
    family: str,
    keys: Tensor,
    donors: Tensor,
    compute: Compute,
    on_images: Callable[[int], None] = lambda images: None,
) -> Tensor:
    """The responses [K] to the changes with keys int64 [K]."""
    change = PERTURBATIONS.resolve(family)
    plain = concentration(unit_features(encoder, images, compute))
    gathered = []
    for some in keys.to(images.device).split(max(1, batch_size(images) // len(images))):
        changed = change(
            images.repeat(len(some), 1, 1, 1), some.repeat_interleave(len(images)), donors
        )
        features = unit_features(encoder, changed, compute)
        gathered.append(concentration(features.view(len(some), len(images), -1)))
        on_images(len(changed))
    return (torch.cat(gathered) - plain) / (1 - plain).clamp_min(1e-6)
