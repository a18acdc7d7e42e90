"""The InfoNCE bound (CPC, arXiv 1807.03748) on pooled maps, read on held-out images.

    I >= log K + mean_i log( exp f(a_i, h_i) / sum_j exp f(a_i, h_j) )        at most log K

f(a, h) is the product of two small embeddings, so that all K x K pairs cost one matrix product.
The fifth of the images that did not train the critic gives the value: a bound on what it saw in
training over-fits by 25 to 120 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimic_ray.base import seeds
from mimic_ray.base.member_settings import setting

_WIDTH = 128


@dataclass(frozen=True)
class InfoNCE:
    """The InfoNCE bound of a small critic, read on held-out images."""

    epochs: Annotated[int, setting("Passes over the training images.", unit="epochs", ge=1)] = 200
    batch: Annotated[int, setting("Pairs in a step.", unit="images", ge=2)] = 256
    pool: Annotated[int, setting("Maps are averaged to this many positions a side.", ge=1)] = 4
    learning_rate: Annotated[float, setting("Of AdamW.", gt=0)] = 1e-3
    weight_decay: Annotated[
        float, setting("Of AdamW; with 0 the critic memorises its training images.", ge=0)
    ] = 1e-2

    needs_maps: ClassVar[bool] = True
    unit: ClassVar[str] = "nats"

    def reduce(self, maps: Tensor) -> Tensor:
        side = min(self.pool, maps.shape[-1])
        return F.adaptive_avg_pool2d(maps.float(), side).flatten(1)

    def estimate(self, reduced: Tensor, features: Tensor, seed: int) -> float:
        """[N, P] and [N, D] -> nats on the held-out fifth, never negative."""
        generator = seeds.generator(seed, "infonce")
        order = torch.randperm(len(reduced), generator=generator).to(reduced.device)
        x, y = _standardised(reduced)[order], _standardised(features)[order]
        held = max(2, len(x) // 5)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(seeds.keys(seed, "critic")))
            left, right = (_embedding(v.shape[1]).to(v.device) for v in (x, y))
        optimiser = torch.optim.AdamW(
            [*left.parameters(), *right.parameters()],
            lr=self.learning_rate,
            weight_decay=self.weight_decay,
        )
        train_x, train_y = x[held:], y[held:]
        total = 0.0
        for epoch in range(self.epochs):
            shuffled = torch.randperm(len(train_x), generator=generator).to(x.device)
            for rows in shuffled.split(self.batch):
                if len(rows) < 2:
                    continue
                optimiser.zero_grad()
                loss = -infonce_bound(left(train_x[rows]), right(train_y[rows]))
                loss.backward()
                optimiser.step()
            # The best epoch on held-out images would be picked on the data that judge it; so the
            # value is a mean over the last tenth, and only never below 0.
            if epoch >= self.epochs - max(1, self.epochs // 10):
                with torch.no_grad():
                    total += float(infonce_bound(left(x[:held]), right(y[:held])))
        return max(0.0, total / max(1, self.epochs // 10))


def infonce_bound(left: Tensor, right: Tensor) -> Tensor:
    """Embeddings [K, E] and [K, E] of K pairs -> the bound, a scalar of at most log K."""
    scores = left @ right.T
    pairs = torch.arange(len(left), device=left.device)
    return math.log(len(left)) - F.cross_entropy(scores, pairs)


def _embedding(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 256), nn.ReLU(), nn.Linear(256, _WIDTH))


def _standardised(values: Tensor) -> Tensor:
    """Both sides on one scale: raw maps and unit-length features differ by a factor of 100."""
    return (values - values.mean(dim=0)) / values.std(dim=0).clamp_min(1e-6)
