"""The estimators of dependence between a tap and the feature. All in nats.

Each is a frozen dataclass of its settings with two methods:

    reduce(maps [B, C, H, W]) -> [B, P]                  what is kept of a map, batch by batch
    estimate(reduced [N, P], features [N, D], seed) -> float
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from mimic_ray.base.registry import Registry

ESTIMATORS = Registry(
    "estimator",
    {
        "gaussian": "mimic_ray.method.estimators.gaussian:Gaussian",
        "infonce": "mimic_ray.method.estimators.infonce:InfoNCE",
        "donsker_varadhan": "mimic_ray.method.estimators.donsker_varadhan:DonskerVaradhan",
    },
)


class Estimator(Protocol):
    def reduce(self, maps: Tensor) -> Tensor: ...
    def estimate(self, reduced: Tensor, features: Tensor, seed: int) -> float: ...
