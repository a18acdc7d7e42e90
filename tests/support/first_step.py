"""The weights after the first step of an optimiser, restated, to check the loss of a defence.

A training of one step has its largest rate / 25, because the rate rises from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mimic_ray.encoders.encoder import Encoder

FIRST_RATE = 1 / 25


def adam_step(weight: Tensor, gradient: Tensor, rate: float) -> Tensor:
    """Adam's first step: the sign of the gradient."""
    return weight - rate * gradient / (gradient.abs() + 1e-8)


def require_step(
    made: Encoder, before: Encoder, step: Callable[[Tensor, Tensor], Tensor], smallest: float
) -> None:
    """Every weight of `made` is `step(weight, gradient)` of `before`, which has its gradients.

    Weights with a gradient below `smallest` of their layer's largest are left out, whose sign
    rounding decides.
    """
    after = dict(made.net.named_parameters())
    for name, was in before.net.named_parameters():
        assert was.grad is not None, name
        sure = was.grad.abs() > smallest * was.grad.abs().max()
        assert bool(sure.any()), name
        expected = step(was.data, was.grad)
        assert not torch.equal(expected, was.data), name
        torch.testing.assert_close(
            (after[name] - was.data)[sure], (expected - was.data)[sure], rtol=2e-2, atol=1e-8
        )


def cosine_distance(found: Tensor, wanted: Tensor) -> Tensor:
    """1 - mean over images of found . wanted / (|found| |wanted|), of features [B, D]."""
    lengths = found.square().sum(dim=1).sqrt() * wanted.square().sum(dim=1).sqrt()
    return 1 - ((found * wanted).sum(dim=1) / lengths).mean()


def attention_total(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """NAD's sum over three maps [B, C, H, W] of beta * mean (A_s - A_t)^2."""
    total = torch.zeros(())
    for beta, s, t in zip((500, 1000, 1000), student, teacher, strict=True):
        a_s, a_t = ((m**2).sum(dim=1) for m in (s, t))
        a_s, a_t = (a / a.flatten(1).norm(dim=1).view(-1, 1, 1) for a in (a_s, a_t))
        total = total + beta * ((a_s - a_t) ** 2).mean()
    return total
