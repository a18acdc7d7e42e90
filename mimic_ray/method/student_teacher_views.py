"""The views of a step: plain images for the teacher, perturbed ones for the student."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from mimic_ray.base import seeds
from mimic_ray.base.spacing import evenly_spaced
from mimic_ray.data.decoded_images import DecodedImages
from mimic_ray.data.perturbations.perturbation_registry import PERTURBATIONS, Perturbation
from mimic_ray.data.views import centre, flip_and_shift, simclr, to_float
from mimic_ray.method.found_changes import FoundChanges
from mimic_ray.method.recipe import Recipe


class Pair(NamedTuple):
    """Images [B, 3, S, S] in [0, 1]. `second` is the student's, where a term uses it."""

    teacher: Tensor
    student: Tensor
    second: Tensor | None


@dataclass(frozen=True)
class DrawnPerturbation:
    """A perturbation and the share of the images that get it."""

    name: str
    probability: float
    strength: float
    apply: Perturbation


def drawn_perturbations(
    recipe: Recipe, openings: FoundChanges | None = None
) -> list[DrawnPerturbation]:
    """The perturbations of a recipe that are drawn at all, and the openings of a scan."""
    drawn = [
        DrawnPerturbation(
            name, table.probability, table.strength, PERTURBATIONS.resolve(name, table.own)
        )
        for name, table in recipe.perturbations.active().items()
    ]
    if openings and recipe.openings.active:
        drawn.append(DrawnPerturbation("openings", recipe.openings.share, 1.0, openings))
    return drawn


@dataclass(frozen=True)
class PairMaker:
    """Makes the views of a step, for encoders with inputs of `side` pixels.

    `donors` [M, 3, S, S] are other clean images that perturbations may paste or blend in.
    """

    recipe: Recipe
    side: int
    donors: Tensor
    perturbations: Sequence[DrawnPerturbation]
    second_view: bool

    def make(self, pixels: Tensor, keys: Tensor, view_keys: Tensor | None = None) -> Pair:
        """uint8 [B, 3, P, P] and one key an image -> views.

        `view_keys` decide the plain view in place of `keys`, which decide everything else.
        """
        recipe, side = self.recipe, self.side
        plain_keys = seeds.keys(keys if view_keys is None else view_keys, "view", 1)
        plain = view(pixels, plain_keys, recipe, side)
        second = None
        if self.second_view:
            second = view(pixels, seeds.keys(keys, "view", 2), recipe, side)
        perturbed = perturb(plain, seeds.keys(keys, "perturb"), self.donors, self.perturbations)
        return Pair(plain if recipe.views.asymmetric else perturbed, perturbed, second)


def view(pixels: Tensor, keys: Tensor, recipe: Recipe, side: int) -> Tensor:
    """One augmented view of each image: uint8 [B, 3, P, P] -> float [B, 3, side, side]."""
    if recipe.views.kind == "simclr":
        return simclr(pixels, keys, side=side)
    return flip_and_shift(to_float(pixels), keys, shift=recipe.views.shift, side=side)


def perturb(
    images: Tensor, keys: Tensor, donors: Tensor, perturbations: Sequence[DrawnPerturbation]
) -> Tensor:
    """Each perturbation on the images that drew it, for half of the images in reverse order.

    The result for an image depends on its own key alone: the perturbations run in two rounds, the
    second for the images with the reverse order.
    """
    if not perturbations:
        return images
    drawn = {p.name: seeds.uniform(seeds.keys(keys, p.name), 1)[:, 0] for p in perturbations}
    reverse = seeds.uniform(seeds.keys(keys, "order"), 1)[:, 0] < 0.5
    images = images.clone()
    for order, rows_of_order in ((perturbations, ~reverse), (perturbations[::-1], reverse)):
        for p in order:
            rows = torch.nonzero(rows_of_order & (drawn[p.name] < p.probability))[:, 0]
            if len(rows):
                own_keys = seeds.keys(keys[rows], p.name, "apply")
                images[rows] = p.apply(images[rows], own_keys, donors, p.strength)
    return images


def choose_donors(images: DecodedImages, side: int, device: torch.device) -> Tensor:
    """Evenly spaced images of the set as floats [M, 3, S, S], about 50 MB of them.

    A function of the set alone: every worker gets the same ones.
    """
    count = max(32, min(256, (1 << 22) // (side * side)))
    chosen = torch.tensor(evenly_spaced(count, len(images)))
    return centre(to_float(images.gather(chosen).to(device)), side)
