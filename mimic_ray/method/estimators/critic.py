"""The small network that the trained estimators score pairs (map, feature) with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mimic_ray.base import seeds
from mimic_ray.base.errors import UsageError

# What fits a laptop twice (weights, gradient, two moments): 1.6 GB in float32.
PARAMETER_LIMIT = 100_000_000


class Critic(nn.Module):
    """concat(map [B, P], feature [B, D]) -> 512 -> 512 -> score [B], as in MINE (1801.04062)."""

    def __init__(self, map_width: int, feature_width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(map_width + feature_width, 512),
            nn.ReLU(),
            nn.Linear(512, 512),
            nn.ReLU(),
            nn.Linear(512, 1),
        )

    def forward(self, maps: Tensor, features: Tensor) -> Tensor:
        return self.layers(torch.cat([maps, features], dim=1)).squeeze(1)


def make_critic(map_width: int, feature_width: int, seed: int) -> Critic:
    """A critic drawn from `seed`. Raises UsageError above the parameter limit."""
    parameters = 512 * (map_width + feature_width + 512)
    if parameters > PARAMETER_LIMIT:
        raise UsageError(
            f"The critic for a map of {map_width:,} numbers has {parameters:,} parameters, over "
            f"the limit of {PARAMETER_LIMIT:,}: use mutual_information.estimator = "
            '"gaussian" or "infonce", which pool the map first.'
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(seeds.keys(seed, "critic")))
        return Critic(map_width, feature_width)
