"""Openings: changes of all images alike that gather an encoder's features.

The search has two parts. A grid of waves and squares needs forward passes only, and finds what
gradient ascent misses; ascent then refines the best squares and waves, and looks for patterns that
no grid contains. Candidates are chosen on some images and measured on others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mimic_ray.base import seeds
from mimic_ray.base.effort import Effort
from mimic_ray.scanning import ascent
from mimic_ray.scanning.answers import CentredEncoder, gathering, landing, moved
from mimic_ray.scanning.changes import (
    PATCHES,
    WAVE_HEIGHT,
    Change,
    patches,
    wave,
    wave_pairs,
    waves,
)
from mimic_ray.scanning.forward_count import WITH_GRADIENT

FAMILIES = ("wave", "patch", "free patch", "pixels")


@dataclass(frozen=True)
class Budget:
    """How much is tried. A ResNet-20 takes about 10 CPU seconds with `full`, 4 with `quick`."""

    screened_on: int  # images for each change of the grids
    ascended_on: int  # images for each start of an ascent
    starts: int
    steps: int
    kept: int  # of each family, measured on held-out images
    every: int  # every n-th change of the grids

    @property
    def noise_starts(self) -> int:
        """Starts of an ascent of all pixels, beside the strongest wave."""
        return max(1, self.starts // 2)

    @property
    def ascents(self) -> int:
        """Changes that are ascended, from all starts."""
        return len(_FREE_EDGES) * self.starts + len(_FAINT) * (1 + self.noise_starts)

    @property
    def openings(self) -> int:
        """Changes that are measured on held-out images."""
        return 2 * self.kept + self.ascents


BUDGETS: dict[Effort, Budget] = {
    "quick": Budget(screened_on=4, ascended_on=8, starts=2, steps=10, kept=2, every=2),
    "full": Budget(screened_on=6, ascended_on=12, starts=4, steps=15, kept=3, every=1),
}
# About what a scan takes in forward passes of one image, counted; one with a gradient counts as 3.
SCAN_FORWARDS: dict[Effort, int] = {"quick": 4_200, "full": 12_700}
_FREE_EDGES = (5, 8)  # thirty-seconds of the side
_FAINT = (0.02, 0.04)  # largest change of a pixel
_HEIGHTS = (WAVE_HEIGHT, 0.1)
_COLOURS = {
    "grey": (1.0, 1.0, 1.0),
    "red": (1.6, 0.0, 0.0),
    "green": (0.0, 1.6, 0.0),
    "blue": (0.0, 0.0, 1.6),
}


@dataclass(frozen=True)
class Images:
    """The parts of a clean set, float [N, 3, S, S] in [0, 1], on the device."""

    bank: Tensor  # to find the centre and the clusters; an opening is explained by their like
    search: Tensor
    held_out: Tensor


@dataclass(frozen=True)
class Opening:
    """A change and the answer of an encoder to it on held-out images."""

    change: Change
    gathering: float
    landing: float
    sent: float  # share of held-out images that land in one cluster of real images
    cluster: int
    nearest: tuple[int, ...]  # rows of the bank: the real images nearest to where all land

    @property
    def strength(self) -> float:
        """gathering x landing, in [0, 1].

        Ordinary encoders gather images as well, but at points where no real image is; an attacker
        chooses a point where a head finds a class.
        """
        return max(self.gathering, 0.0) * max(self.landing, 0.0)


def find_openings(
    encode: CentredEncoder,
    real: Tensor,
    centres: Tensor,
    images: Images,
    seed: int,
    effort: Effort,
) -> list[Opening]:
    """The strongest changes of each family, the strongest first within a family.

    real [N, D] and centres [K, D]: g of the bank, and its clusters. `encode` counts the images.
    """
    budget, side = BUDGETS[effort], images.search.shape[-1]
    screened = images.search[: budget.screened_on]
    best_waves = strongest(encode, real, screened, waves(side)[:: budget.every], budget.kept)
    best_waves = _varied(encode, real, screened, best_waves, budget.kept)
    best_patches = strongest(encode, real, screened, patches(side)[:: budget.every], budget.kept)
    found = {"wave": best_waves, "patch": best_patches, "free patch": [], "pixels": []}
    ascended = images.search[-budget.ascended_on :]
    for part in _FREE_EDGES:
        edge = max(2, round(side * part / 32))
        positions = _positions(best_patches, edge, side, budget.starts, seed)
        found["free patch"] += ascent.free_patches(
            encode, ascended, seed, edge=edge, positions=positions, steps=budget.steps
        )
    for size in _FAINT:
        starts = torch.cat(
            [
                torch.stack([change.canvas for change in best_waves[:1]]),
                ascent.noise_starts(seed, budget.noise_starts, size, side),
            ]
        )
        found["pixels"] += ascent.pixels(encode, ascended, starts, size=size, steps=budget.steps)
    return [
        opening
        for changes in found.values()
        for opening in measured(encode, real, centres, images.held_out, changes)
    ]


def search_forwards(images: Images, effort: Effort) -> int:
    """What `find_openings` counts: images through the encoder, WITH_GRADIENT times in an ascent."""
    budget, side = BUDGETS[effort], images.search.shape[-1]
    grids = (range(len(wave_pairs(side))), range(PATCHES))
    screened = sum(len(grid[:: budget.every]) for grid in grids)
    screened += budget.kept * len(_COLOURS) * len(_HEIGHTS)
    ascended = budget.ascents * budget.steps * len(images.search[-budget.ascended_on :])
    return (
        screened * len(images.search[: budget.screened_on])
        + WITH_GRADIENT * ascended
        + budget.openings * len(images.held_out)
    )


def strongest(
    encode: CentredEncoder, real: Tensor, images: Tensor, changes: Sequence[Change], kept: int
) -> list[Change]:
    """The `kept` changes with the largest strength on images [N, 3, S, S]."""
    found = moved(encode, images, changes)
    reached = (gathering(found).clamp_min(0) * landing(found, real).clamp_min(0)).cpu()
    # A stable sort, so that equal answers give the same changes on every machine.
    order = reached.argsort(descending=True, stable=True)[:kept]
    return [changes[number] for number in order.tolist()]


def measured(
    encode: CentredEncoder,
    real: Tensor,
    centres: Tensor,
    held_out: Tensor,
    changes: Sequence[Change],
) -> list[Opening]:
    """The openings of the changes on held-out images, the strongest first."""
    found = moved(encode, held_out, changes)
    gathered, landed = gathering(found), landing(found, real)
    positions = (found @ centres.T).argmax(dim=-1)  # [K, N]
    near = (found.mean(dim=1) @ real.T).topk(min(5, len(real)), dim=1).indices
    openings = []
    for number, change in enumerate(changes):
        counts = positions[number].bincount(minlength=len(centres))
        openings.append(
            Opening(
                change,
                gathered[number].item(),
                landed[number].item(),
                counts.max().item() / len(held_out),
                int(counts.argmax()),
                tuple(near[number].tolist()),
            )
        )
    return sorted(openings, key=lambda opening: -opening.strength)


def _varied(
    encode: CentredEncoder, real: Tensor, images: Tensor, best: Sequence[Change], kept: int
) -> list[Change]:
    """The best waves in several colours and heights, of which the strongest are kept."""
    side = images.shape[-1]
    tried = [
        wave(*change.position, side, height, colour=colour, name=name)
        for change in best
        for name, colour in _COLOURS.items()
        for height in _HEIGHTS
    ]
    return strongest(encode, real, images, tried, kept)


def _positions(
    best: Sequence[Change], edge: int, side: int, count: int, seed: int
) -> list[tuple[int, int]]:
    """Where free patches start: at the best squares of the grid, then at random."""
    free = side - edge
    positions = [
        (min(top, free), min(left, free)) for top, left in (change.position for change in best)
    ][: count // 2]
    draws = seeds.uniform(seeds.keys(seed, "free patch place", torch.arange(count)), 2)
    drawn = (draws * (free + 1)).long().tolist()
    return [*positions, *((top, left) for top, left in drawn[len(positions) :])]
