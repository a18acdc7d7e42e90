"""The profile: how strongly each tap depends on the feature, and the weights that follow from it.

A tap is a deterministic function of the image, and the feature one of the tap, so no finite number
is "the" mutual information. The result is a dependence score of one estimator with its settings. It
is shown beside the score of the same network with random weights, which gives the same order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mimic_ray.base.devices import Compute
from mimic_ray.base.frames import to_frame
from mimic_ray.base.progress import StepCallback
from mimic_ray.base.spacing import evenly_spaced
from mimic_ray.data.decoded_images import DecodedImages
from mimic_ray.data.views import centre, to_float
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.encoders.forward_batches import forward_batch
from mimic_ray.encoders.taps import chosen_taps
from mimic_ray.method.estimators.estimator_registry import ESTIMATORS, Estimator
from mimic_ray.method.recipe import Recipe
from mimic_ray.method.recipe_sections import MutualInformation

# Keys of mutual_information that choose and weight taps, and leave their scores as they are.
SELECTION = ("threshold", "floor", "scale")


@dataclass(frozen=True)
class TapScore:
    """One tap. `untrained` is the score of the same network with random weights."""

    tap: str
    score: float
    share: float
    kept: bool
    weight: float
    untrained: float


@dataclass(frozen=True)
class Profile:
    """All taps, in the order of the network."""

    taps: tuple[TapScore, ...]
    of: str
    estimator: str
    images: int

    def weights(self) -> dict[str, float]:
        """Weight of each kept tap in the attention term."""
        return {t.tap: t.weight for t in self.taps if t.kept and t.weight > 0}

    def to_frame(self) -> Any:
        """The taps as a pandas DataFrame, or a pyarrow Table if pandas is not installed."""
        return to_frame([asdict(tap) for tap in self.taps])

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "taps": [asdict(tap) for tap in self.taps]}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Profile:
        taps = tuple(TapScore(**tap) for tap in content["taps"])
        return cls(taps, content["of"], content["estimator"], content["images"])


def profile(
    encoder: Encoder,
    untrained: Encoder,
    batches: Iterable[Tensor],
    recipe: Recipe,
    compute: Compute,
    on_step: StepCallback = lambda done, total: None,
) -> Profile:
    """Scores the taps of `encoder` on images [B, 3, S, S] in [0, 1], each forwarded once.

    `untrained` is the same architecture with random weights. With `mutual_information.of` =
    "student" its scores decide the weights, as in the MIMIC authors' code. `on_step` gets the
    number of batches and estimates that are done, and of all.
    """
    settings, seed = recipe.mutual_information, recipe.training.seed
    batches = list(batches)
    estimator = ESTIMATORS.resolve(settings.estimator, recipe.estimators.own(settings.estimator))
    taps = chosen_taps(encoder.spec, settings.taps)
    done, total = 0, 2 * (len(batches) + len(taps))

    def one_more() -> None:
        nonlocal done
        done += 1
        on_step(min(done, total - 1), total)

    on_step(0, total)
    scores = score_taps(encoder, batches, estimator, compute, seed, taps, one_more)
    untrained_scores = score_taps(untrained, batches, estimator, compute, seed, taps, one_more)
    on_step(total, total)
    deciding = untrained_scores if settings.of == "student" else scores
    return Profile(
        taps=tuple(
            TapScore(tap, score, share, kept, weight, other)
            for tap, score, other, (share, kept, weight) in zip(
                taps, scores, untrained_scores, select(deciding, settings), strict=True
            )
        ),
        of=settings.of,
        estimator=settings.estimator,
        images=sum(len(batch) for batch in batches),
    )


def reselected(found: Profile, settings: MutualInformation) -> Profile:
    """The same scores, with the taps kept and weighted as `settings` say."""
    chosen = select([tap.share for tap in found.taps], settings)
    return replace(
        found,
        taps=tuple(
            replace(tap, kept=kept, weight=weight)
            for tap, (_, kept, weight) in zip(found.taps, chosen, strict=True)
        ),
    )


def estimate_settings(recipe: Recipe) -> dict[str, Any]:
    """Everything in a recipe that decides the scores: equal for equal estimates."""
    settings = recipe.mutual_information
    return {
        **settings.model_dump(exclude={*SELECTION}),
        "settings": recipe.estimators.own(settings.estimator),
        "seed": recipe.training.seed,
    }


def select(scores: list[float], settings: MutualInformation) -> list[tuple[float, bool, float]]:
    """Scores -> (share, kept, weight) of each tap.

    All scores 0 (an estimator that did not converge) gives equal shares instead of 0/0.
    """
    total = sum(scores)
    if not math.isfinite(total) or total <= 0:
        shares = [1 / len(scores)] * len(scores)
    else:
        shares = [score / total for score in scores]
    chosen = []
    for share in shares:
        kept = share >= settings.threshold
        weight = settings.floor + settings.scale * share if kept else 0.0
        chosen.append((share, kept, weight))
    return chosen


def profiled_batches(
    images: DecodedImages, number: int, side: int, compute: Compute
) -> list[Tensor]:
    """Centre crops, float [B, 3, side, side], of `number` evenly spaced images, or of all."""
    rows = torch.tensor(evenly_spaced(number, len(images)))
    parts = rows.split(forward_batch(128, side, compute.torch_device))
    return [centre(to_float(images.gather(part)), side) for part in parts]


@torch.no_grad()
def score_taps(
    encoder: Encoder,
    batches: Iterable[Tensor],
    estimator: Estimator,
    compute: Compute,
    seed: int,
    taps: Sequence[str] | None = None,
    on_step: Callable[[], None] = lambda: None,
) -> list[float]:
    """One forward pass per batch, then one estimate per tap (all if None); `on_step` after each."""
    taps = encoder.spec.taps if taps is None else taps
    if not estimator.needs_maps:
        nothing = torch.empty(0, 0)
        return [estimator.estimate(nothing, nothing, seed) for _ in taps]
    encoder = encoder.to(compute.torch_device).eval()
    reduced: list[list[Tensor]] = [[] for _ in taps]
    features = []
    for images in batches:
        # float32 throughout: a correlation near 1 needs the digits.
        feature, maps = encoder(images.to(compute.torch_device), taps=taps)
        features.append(F.normalize(feature, dim=1))
        for collected, tap_map in zip(reduced, maps, strict=True):
            collected.append(estimator.reduce(tap_map))
        on_step()
    all_features, found = torch.cat(features), []
    with torch.enable_grad():  # the trained estimators learn a critic
        for rows in reduced:
            found.append(estimator.estimate(torch.cat(rows), all_features, seed))
            on_step()
    return found
