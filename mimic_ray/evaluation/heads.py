"""Classifier heads on the features of a frozen encoder.

`fit` takes features [N, D] of unit length and classes [N], and returns a function features [M, D]
-> classes [M]. `seed` determines initial weights, order and dropout. Everything runs on the CPU in
float32: features are small, and the results do not depend on the device.

    mlp         D-512-256-classes, ReLU, dropout 0.5; standardised features, Adam 1e-3, batch 64,
                20 epochs, shuffled: the same accuracy as `badencoder` in a fiftieth of the time
    linear      one layer; standardised features, Adam 5e-3, batch 250, 40 epochs, shuffled
    knn         200 nearest by cosine, weighted by exp(cosine / 0.5); no training
    badencoder  BadEncoder's head: the MLP on plain features, Adam 1e-4, batch 64, 500 epochs, not
                shuffled (Jia et al., arXiv 2108.00352, training_downstream_classifier.py)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimic_ray.base import seeds
from mimic_ray.base.errors import UnknownNameError, UsageError
from mimic_ray.base.registry import Registry
from mimic_ray.base.text import near_names
from mimic_ray.evaluation.head_choice import OWN

Head = Callable[[Tensor], Tensor]

HEADS: Registry[TrainedHead | NearestNeighbours] = Registry(
    "head",
    {
        "mlp": "mimic_ray.evaluation.heads:MLP",
        "linear": "mimic_ray.evaluation.heads:LINEAR",
        "knn": "mimic_ray.evaluation.heads:KNN",
        "badencoder": "mimic_ray.evaluation.heads:BADENCODER",
    },
)


@dataclass(frozen=True)
class TrainedHead:
    """A head that is trained by gradient descent."""

    build: Callable[[int, int], nn.Module]  # (feature width, classes)
    rate: float
    batch: int
    epochs: int
    shuffled: bool = True
    standardised: bool = True
    seeded = True

    def fit(self, features: Tensor, labels: Tensor, classes: int, seed: int) -> Head:
        """Raises UsageError if `epochs` is less than 1."""
        if self.epochs < 1:
            raise UsageError(f"The number of epochs of a head is {self.epochs}: set at least 1.")
        shift, scale = _standardisation(features) if self.standardised else (0.0, 1.0)
        inputs = (features - shift) / scale
        with seeds.torch_seeded(seed), _single_thread(), torch.enable_grad():
            net = self.build(features.shape[1], classes)
            optimiser = torch.optim.Adam(net.parameters(), lr=self.rate, fused=True)
            for _ in range(self.epochs):
                order = torch.randperm(len(inputs)) if self.shuffled else torch.arange(len(inputs))
                for chosen in order.split(self.batch):
                    optimiser.zero_grad()
                    F.cross_entropy(net(inputs[chosen]), labels[chosen]).backward()
                    optimiser.step()
        net.eval()

        @torch.no_grad()
        def head(unseen: Tensor) -> Tensor:
            return net((unseen - shift) / scale).argmax(dim=1)

        return head

    def described(self) -> str:
        return f"Adam {self.rate:g}, batch {self.batch}, {self.epochs} epochs"


@dataclass(frozen=True)
class NearestNeighbours:
    """A k-nearest-neighbour classifier."""

    neighbours: int = 200
    temperature: float = 0.5
    seeded = False

    def fit(self, features: Tensor, labels: Tensor, classes: int, seed: int) -> Head:  # noqa: ARG002
        votes_for = F.one_hot(labels, classes).float()
        neighbours = min(self.neighbours, len(features))

        def head(unseen: Tensor) -> Tensor:
            return torch.cat([decided(part) for part in unseen.split(1000)])

        def decided(unseen: Tensor) -> Tensor:
            cosine, nearest = (unseen @ features.T).topk(neighbours, dim=1)
            weights = (cosine / self.temperature).exp()
            return (weights.unsqueeze(-1) * votes_for[nearest]).sum(dim=1).argmax(dim=1)

        return head

    def described(self) -> str:
        return f"{self.neighbours} neighbours, temperature {self.temperature:g}"


def trained_head(name: str) -> TrainedHead | NearestNeighbours:
    """A kind of head by name. Raises UnknownNameError."""
    if name in HEADS:
        return HEADS.resolve(name)
    known = [*HEADS, OWN]
    hint = f"Built in: {', '.join(known)}. For a file, give its path, as in ./FILE."
    raise UnknownNameError("head", name, near_names(name, known), hint)


@contextmanager
def _single_thread() -> Iterator[None]:
    """Uses one thread, because batches are small and threads are ten times slower on busy cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _mlp(width: int, classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(width, 512),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(512, 256),
        nn.ReLU(),
        nn.Linear(256, classes),
    )


def _standardisation(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each column [D]; the latter is 1 for a constant column."""
    std, mean = torch.std_mean(features, dim=0, correction=0)
    return mean, torch.where(std > 1e-6 * std.max().clamp_min(1e-12), std, torch.ones_like(std))


MLP = TrainedHead(_mlp, rate=1e-3, batch=64, epochs=20)
LINEAR = TrainedHead(nn.Linear, rate=5e-3, batch=250, epochs=40)
KNN = NearestNeighbours()
BADENCODER = TrainedHead(_mlp, rate=1e-4, batch=64, epochs=500, shuffled=False, standardised=False)
