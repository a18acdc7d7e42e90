"""Estimators of the dependence between a tap and the feature.

A new built-in one is one file and one line in the table below.

Each is a frozen dataclass, whose fields are its settings, with two methods:

    reduce(maps [B, C, H, W]) -> [B, P]                  what is kept of the maps of a batch
    estimate(reduced [N, P], features [N, D], seed) -> float

and `needs_maps = True`. With `needs_maps = False` the encoder does not run, and every tap gets
`estimate` of empty tensors. `unit = "nats"` says that the score is in nats. An estimator's settings
are its table in the recipe, for example `estimators.gaussian.noise`.

An estimator of your own is a class in a file:

    # my_estimators.py
    from dataclasses import dataclass
    import torch

    @dataclass(frozen=True)
    class Correlation:
        \"\"\"The largest correlation of a channel with a feature, as information.\"\"\"
        limit: float = 0.999

        def reduce(self, maps):
            return maps.mean(dim=(2, 3))

        def estimate(self, reduced, features, seed):
            joint = torch.corrcoef(torch.cat([reduced, features], dim=1).T).nan_to_num()
            rho = joint[: reduced.shape[1], reduced.shape[1] :].abs().max()
            return float(-0.5 * torch.log1p(-rho.clamp(max=self.limit) ** 2))

    # recipe.toml
    [mutual_information]
    estimator = "my_estimators.py:Correlation"
    [estimators."my_estimators.py:Correlation"]
    limit = 0.99
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from mimic_ray.base import user_code
from mimic_ray.base.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor


class Estimator(Protocol):
    """See the module."""

    @property
    def needs_maps(self) -> bool: ...
    def reduce(self, maps: Tensor) -> Tensor: ...
    def estimate(self, reduced: Tensor, features: Tensor, seed: int) -> float: ...


class _CheckedEstimator:
    """A user's estimator, whose errors come with their file and line."""

    def __init__(self, estimator: Any, name: str) -> None:
        self._estimator, self._name = estimator, name
        self.needs_maps = bool(getattr(estimator, "needs_maps", True))

    def reduce(self, maps: Tensor) -> Tensor:
        with user_code.named_errors(self._name):
            reduced: Tensor = self._estimator.reduce(maps)
            if reduced.ndim != 2 or len(reduced) != len(maps):
                raise ValueError(f"reduce returned {[*reduced.shape]} for {len(maps)} images")
            return reduced

    def estimate(self, reduced: Tensor, features: Tensor, seed: int) -> float:
        with user_code.named_errors(self._name):
            return float(self._estimator.estimate(reduced, features, seed))


def _checked(estimator: Any, name: str) -> Estimator:
    return _CheckedEstimator(estimator, name) if user_code.is_user_code(name) else estimator


ESTIMATORS = Registry[Estimator](
    "estimator",
    {
        "gaussian": "mimic_ray.method.estimators.gaussian:Gaussian",
        "infonce": "mimic_ray.method.estimators.infonce:InfoNCE",
        "donsker_varadhan": "mimic_ray.method.estimators.donsker_varadhan:DonskerVaradhan",
        "uniform": "mimic_ray.method.estimators.uniform:Uniform",
    },
    user_form="classes with the methods reduce(maps) and estimate(reduced, features, seed)",
    calls={"reduce": ("maps",), "estimate": ("reduced", "features", "seed")},
    is_member=lambda member: isinstance(member, type) and hasattr(member, "estimate"),
    adapt=_checked,
)


def score_unit(name: str) -> str:
    """The unit of an estimator's score: "nats" or "". Runs no file of a user."""
    return getattr(ESTIMATORS.member(name), "unit", "") if name in ESTIMATORS else ""
