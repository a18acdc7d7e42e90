"""How an encoder answers to one change of all images.

    g(x) = n(n(f(x)) - m)      n: division by the length; m: mean of n(f) over clean images
    gathering = mean of g(x') . g(y') over pairs of different images    clean images: about 0
    landing   = largest cosine of the mean of g(x') with g of a real image

A trigger gives a gathering near 1 and lands on the images that the attacker chose as target. The
centre m matters: features behind a ReLU have a large cosine with each other anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mimic_ray.base.devices import Compute
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.evaluation.suspicion.frozen import batch_size, concentration, unit_features
from mimic_ray.scanning.changes import Change, apply
from mimic_ray.scanning.forward_count import WITH_GRADIENT, CountImages, uncounted


@dataclass(frozen=True)
class CentredEncoder:
    """A frozen encoder with the centre of its features: images -> g, differentiable.

    `count` gets the images of each call.
    """

    encoder: Encoder
    centre: Tensor  # [D]
    compute: Compute
    count: CountImages = uncounted

    def __call__(self, images: Tensor) -> Tensor:
        """[B, 3, S, S] in [0, 1] -> [B, D] of unit length."""
        found = F.normalize(unit_features(self.encoder, images, self.compute) - self.centre, dim=1)
        self.count(len(images) * (WITH_GRADIENT if images.requires_grad else 1))
        return found


def centred(
    encoder: Encoder, images: Tensor, compute: Compute, count: CountImages = uncounted
) -> tuple[CentredEncoder, Tensor]:
    """The encoder centred on clean images [N, 3, S, S], and their g [N, D]."""
    features = features_of(encoder, images, compute, batch_size(images), count)
    centre = features.mean(dim=0)
    return CentredEncoder(encoder, centre, compute, count), F.normalize(features - centre, dim=1)


@torch.no_grad()
def features_of(
    encoder: Encoder, images: Tensor, compute: Compute, batch: int, count: CountImages
) -> Tensor:
    """[N, 3, S, S] in [0, 1] -> [N, D] of unit length, `batch` images at a time."""
    parts = []
    for some in images.split(batch):
        parts.append(unit_features(encoder, some, compute))
        count(len(some))
    return torch.cat(parts)


@torch.no_grad()
def moved(encode: CentredEncoder, images: Tensor, changes: Sequence[Change]) -> Tensor:
    """g of the changed images, [K, N, D] for K changes of N images."""
    gathered, batch = [], batch_size(images)
    step = max(1, batch // len(images))
    for start in range(0, len(changes), step):
        some = changes[start : start + step]
        masks = torch.stack([change.mask for change in some]).to(images)
        canvases = torch.stack([change.canvas for change in some]).to(images)
        changed = apply(images[None], masks[:, None], canvases[:, None])
        answers = torch.cat([encode(part) for part in changed.flatten(0, 1).split(batch)])
        gathered.append(answers.unflatten(0, (len(some), len(images))))
    return torch.cat(gathered)


def gathering(found: Tensor) -> Tensor:
    """g [..., N, D] of N changed images -> [...]; N >= 2."""
    return concentration(found)


def landing(found: Tensor, real: Tensor) -> Tensor:
    """g [..., N, D] of changed images, g [M, D] of real ones -> [...]."""
    return (F.normalize(found.mean(dim=-2), dim=-1) @ real.T).amax(dim=-1)
