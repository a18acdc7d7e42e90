"""Gradient ascent: changes under which the features gather, in bases that no grid covers.

    free patch   free values inside of a square                        sign steps
    pixels       added to the whole image, at most `size` a pixel      sign steps

Several starts run side by side in one batch. Some begin where the grids found the strongest answer:
ascent alone misses waves, and grids alone miss patterns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mimic_ray.base import seeds
from mimic_ray.evaluation.suspicion.frozen import batch_size
from mimic_ray.scanning.answers import CentredEncoder, gathering
from mimic_ray.scanning.changes import Change, apply, box_mask

# (canvas, gradient, rate in (0, 1]) -> the next canvas.
_Ascend = Callable[[Tensor, Tensor, float], Tensor]


def free_patches(
    encode: CentredEncoder,
    images: Tensor,
    seed: int,
    *,
    edge: int,
    positions: Sequence[tuple[int, int]],
    steps: int,
) -> list[Change]:
    """One square of `edge` pixels at each of `positions` (top, left).

    images [N, 3, S, S] in [0, 1], N >= 2.
    """
    side = images.shape[-1]
    noise = seeds.uniform(
        seeds.keys(seed, "free patch", edge, torch.arange(len(positions))), 3 * side * side
    ).view(len(positions), 3, side, side)
    mask = torch.stack([box_mask(top, left, edge, side) for top, left in positions])
    mask, canvas = mask.to(images), (noise * mask).to(images)

    def ascend(canvas: Tensor, gradient: Tensor, rate: float) -> Tensor:
        return (canvas + 0.25 * rate * gradient.sign()).clamp(0, 1) * mask

    found = _climb(encode, images, mask, canvas, ascend, steps)
    return [
        Change(
            "free patch",
            f"a square of {edge} pixels with a found pattern at row {top}, column {left}",
            mask[number].cpu(),
            found[number].cpu(),
            (top, left),
        )
        for number, (top, left) in enumerate(positions)
    ]


def pixels(
    encode: CentredEncoder, images: Tensor, starts: Tensor, *, size: float, steps: int
) -> list[Change]:
    """Patterns added to the whole image, from `starts` [K, 3, S, S], whose values are limited to
    `size`; images [N, 3, S, S] in [0, 1], N >= 2.
    """
    canvas = starts.to(images).clamp(-size, size)
    mask = torch.zeros(len(starts), 1, *images.shape[-2:]).to(images)

    def ascend(canvas: Tensor, gradient: Tensor, rate: float) -> Tensor:
        return (canvas + 0.3 * rate * size * gradient.sign()).clamp(-size, size)

    found = _climb(encode, images, mask, canvas, ascend, steps)
    words = f"a faint pattern over the whole image, at most {round(255 * size)} of 255 levels"
    return [Change("pixels", words, m.cpu(), c.cpu()) for m, c in zip(mask, found, strict=True)]


def noise_starts(seed: int, count: int, size: float, side: int) -> Tensor:
    """[count, 3, S, S], uniform in -size .. size."""
    keys = seeds.keys(seed, "pixels", torch.arange(count))
    return (2 * seeds.uniform(keys, 3 * side * side).view(count, 3, side, side) - 1) * size


def _climb(
    encode: CentredEncoder,
    images: Tensor,
    mask: Tensor,
    canvas: Tensor,
    ascend: _Ascend,
    steps: int,
) -> Tensor:
    """Raises the gathering under each canvas [K, 3, S, S]; the rate falls to a fifth.

    The canvases do not depend on each other: as many as fit into a batch climb at a time, one at
    least.
    """
    at_a_time = max(1, batch_size(images) // len(images))
    for step in range(steps):
        parts = zip(mask.split(at_a_time), canvas.split(at_a_time), strict=True)
        gradient = torch.cat([_gradient(encode, images, *part) for part in parts])
        canvas = ascend(canvas, gradient, 1 - 0.8 * step / steps)
    return canvas


def _gradient(encode: CentredEncoder, images: Tensor, mask: Tensor, canvas: Tensor) -> Tensor:
    """Of the gathering under each canvas, [K, 3, S, S]."""
    leaf = canvas.detach().requires_grad_()
    changed = apply(images[None], mask[:, None], leaf[:, None])
    reached = gathering(encode(changed.flatten(0, 1)).unflatten(0, (len(leaf), len(images))))
    (gradient,) = torch.autograd.grad(reached.sum(), leaf)
    return gradient
