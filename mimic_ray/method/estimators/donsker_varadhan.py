"""The Donsker-Varadhan bound as MIMIC's authors estimate it (MINE, arXiv 1801.04062).

    DV = mean_i c(a_i, h_i) - log mean_i exp c(a_i, h_perm(i))

The critic c is trained by Adam for `epochs` passes and evaluated on the same images, so the value
over-fits; the result is the mean over the last 10 epochs of the mean over batches, where a batch
that is NaN or negative counts as 0. Departures from their code: log-sum-exp instead of
log(mean(exp)), which is equal where theirs is finite, and maps are computed once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from mimic_ray.base import seeds
from mimic_ray.base.member_settings import setting
from mimic_ray.method.estimators.critic import make_critic

_AVERAGED_EPOCHS = 10


@dataclass(frozen=True)
class DonskerVaradhan:
    """The Donsker-Varadhan bound (MINE) as the MIMIC authors estimate it."""

    epochs: Annotated[int, setting("Passes over the images.", unit="epochs", ge=1)] = 200
    batch: Annotated[int, setting("Pairs in a step.", unit="images", ge=1)] = 128
    learning_rate: Annotated[float, setting("Of Adam.", gt=0)] = 1e-3
    weight_decay: Annotated[float, setting("Of Adam.", ge=0)] = 1e-5

    needs_maps: ClassVar[bool] = True
    unit: ClassVar[str] = "nats"

    def reduce(self, maps: Tensor) -> Tensor:
        """The whole map, flattened: the critic grows with it."""
        return maps.flatten(1).float()

    def estimate(self, reduced: Tensor, features: Tensor, seed: int) -> float:
        """[N, P] and [N, D] -> nats; 0 can also mean that the critic has not converged."""
        critic = make_critic(reduced.shape[1], features.shape[1], seed).to(reduced.device)
        optimiser = torch.optim.Adam(
            critic.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay, fused=True
        )
        generator = seeds.generator(seed, "donsker_varadhan")
        batches = list(zip(reduced.split(self.batch), features.split(self.batch), strict=True))
        by_epoch = []
        for epoch in range(self.epochs):
            for maps, feature in batches:
                optimiser.zero_grad()
                bound = dv_bound(critic(maps, feature), critic(maps, _permuted(feature, generator)))
                (-bound).backward()
                optimiser.step()
            if epoch >= self.epochs - _AVERAGED_EPOCHS:
                with torch.no_grad():
                    values = [
                        _clipped(dv_bound(critic(m, h), critic(m, _permuted(h, generator))))
                        for m, h in batches
                    ]
                by_epoch.append(sum(values) / len(values))
        return sum(by_epoch) / len(by_epoch)


def dv_bound(joint: Tensor, marginal: Tensor) -> Tensor:
    """Critic scores of true pairs [B] and of permuted pairs [B] -> the bound, a scalar."""
    return joint.mean() - (torch.logsumexp(marginal, dim=0) - math.log(len(marginal)))


def _permuted(features: Tensor, generator: torch.Generator) -> Tensor:
    return features[torch.randperm(len(features), generator=generator).to(features.device)]


def _clipped(bound: Tensor) -> float:
    value = float(bound)
    return value if value > 0 else 0.0  # also for NaN
