"""What the two networks see: plain views for the teacher, perturbed ones for the student."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mimic_ray.base import seeds
from mimic_ray.data.perturbations.perturbation_registry import PERTURBATIONS
from mimic_ray.data.views import centre, flip_and_shift, simclr, to_float
from mimic_ray.method.recipe import Perturbations, Recipe


class Pair(NamedTuple):
    """Images [B, 3, S, S] in [0, 1]. `second` is the student's other view, if a term needs it."""

    teacher: Tensor
    student: Tensor
    second: Tensor | None


def make_pair(
    pixels: Tensor,
    keys: Tensor,
    donors: Tensor,
    recipe: Recipe,
    side: int,
    view_keys: Tensor | None = None,
) -> Pair:
    """uint8 [B, 3, P, P] and one key an image -> the views of this step.

    `donors` [M, 3, S, S] are other clean images that perturbations may paste or blend in;
    `view_keys`, where given, decide the plain view in place of `keys`, which decide the rest.
    """
    plain = view(
        pixels, seeds.keys(keys if view_keys is None else view_keys, "view", 1), recipe, side
    )
    second = None
    if recipe.loss.contrastive > 0:
        second = view(pixels, seeds.keys(keys, "view", 2), recipe, side)
    perturbed = perturb(plain, seeds.keys(keys, "perturb"), donors, recipe.perturbations)
    return Pair(plain if recipe.views.asymmetric else perturbed, perturbed, second)


def view(pixels: Tensor, keys: Tensor, recipe: Recipe, side: int) -> Tensor:
    """One augmented view of each image."""
    if recipe.views.kind == "simclr":
        return simclr(pixels, keys, side=side)
    return flip_and_shift(to_float(pixels), keys, shift=recipe.views.shift, side=side)


def perturb(images: Tensor, keys: Tensor, donors: Tensor, families: Perturbations) -> Tensor:
    """Each family on the images that drew it. The order of the families is drawn per batch slot.

    An image's outcome depends on its own key alone: the families run in two rounds, the second for
    the images that drew the reverse order.
    """
    active = list(families.active().items())
    if not active:
        return images
    drawn = {name: seeds.uniform(seeds.keys(keys, name), 1)[:, 0] for name, _ in active}
    reverse = seeds.uniform(seeds.keys(keys, "order"), 1)[:, 0] < 0.5
    images = images.clone()
    for order, rows_of_order in ((active, ~reverse), (active[::-1], reverse)):
        for name, family in order:
            rows = torch.nonzero(rows_of_order & (drawn[name] < family.probability))[:, 0]
            if len(rows):
                apply = PERTURBATIONS.resolve(name)
                changed = apply(
                    images[rows], seeds.keys(keys[rows], name, "apply"), donors, family.strength
                )
                images[rows] = changed
    return images


def donors_from(pixels: Tensor, side: int) -> Tensor:
    """uint8 [M, 3, P, P] -> the float pool [M, 3, S, S] that perturbations draw from."""
    return centre(to_float(pixels), side)


def donor_count(images: int, side: int) -> int:
    """How many donors fit in about 50 MB; a function of the set alone, not of the workers."""
    return min(images, max(32, min(256, (1 << 22) // (side * side))))
