"""The scan of one encoder: openings, their scores, and what others make of the same changes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from mimic_ray.base.devices import Compute
from mimic_ray.base.effort import Effort
from mimic_ray.base.progress import StepCallback
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.evaluation.constant_features import require_features
from mimic_ray.evaluation.suspicion.frozen import batch_size, concentration, frozen
from mimic_ray.scanning.answers import centred, features_of, gathering, moved
from mimic_ray.scanning.changes import Change
from mimic_ray.scanning.clusters import clusters
from mimic_ray.scanning.forward_count import CountImages, ForwardCount, uncounted
from mimic_ray.scanning.openings import (
    BUDGETS,
    FAMILIES,
    Images,
    Opening,
    find_openings,
    search_forwards,
)

_CLUSTERS = 10
# Images in the first batch of an encoder, at most.
_FIRST_BATCH = 64


@dataclass(frozen=True)
class Findings:
    """What a scan found on one encoder. `reference` and `student`: gatherings of other encoders
    under the same changes, in the order of `openings`; empty without such an encoder.
    """

    openings: list[Opening]
    alike: float  # mean cosine between the features of different clean images
    seconds: float  # CPU time
    reference: list[float] = field(default_factory=list)
    student: list[float] = field(default_factory=list)

    def scores(self) -> dict[str, float]:
        """The strength of each family's strongest opening."""
        return {
            family: max(o.strength for o in self.openings if o.change.family == family)
            for family in FAMILIES
        }

    def excess(self) -> dict[str, float]:
        """As `scores`, beyond the reference's gathering. Needs a reference."""
        pairs = list(zip(self.openings, self.reference, strict=True))
        return {
            family: max(o.strength - r for o, r in pairs if o.change.family == family)
            for family in FAMILIES
        }


def scan_encoder(
    encoder: Encoder,
    images: Images,
    compute: Compute,
    seed: int,
    effort: Effort = "full",
    *,
    reference: Encoder | None = None,
    student: Encoder | None = None,
    on_step: StepCallback = lambda done, total: None,
) -> Findings:
    """Scans an encoder on divided images on the device. No encoder is changed.

    `on_step` gets the images that went through an encoder and how many will, after each batch; one
    with a gradient counts as 3. Raises CheckpointError for an encoder that gives all images one
    feature, or features that are not finite.
    """
    start = time.process_time()
    others = {"reference": reference, "student": student}
    total = 2 * len(images.bank) + search_forwards(images, effort)
    total += answer_forwards(images, BUDGETS[effort].openings) * sum(map(bool, others.values()))
    count = ForwardCount(total, on_step).add
    with frozen(encoder, compute):
        alike = _alike(encoder, images.bank, compute, count)
        encode, real = centred(encoder, images.bank, compute, count)
        centres = clusters(real, _CLUSTERS, seed)
        openings = find_openings(encode, real, centres, images, seed, effort)
    changes = [opening.change for opening in openings]
    compared = {
        name: answers(other, images, changes, compute, count) if other else []
        for name, other in others.items()
    }
    return Findings(openings, alike, time.process_time() - start, **compared)


def answer_forwards(images: Images, changes: int) -> int:
    """The images that `answers` counts for so many changes."""
    return 2 * len(images.bank) + changes * len(images.held_out)


def answers(
    encoder: Encoder,
    images: Images,
    changes: Sequence[Change],
    compute: Compute,
    count: CountImages = uncounted,
) -> list[float]:
    """How far an encoder gathers the held-out images under each change. Raises CheckpointError."""
    with frozen(encoder, compute):
        _alike(encoder, images.bank, compute, count)
        encode, _ = centred(encoder, images.bank, compute, count)
        found: list[float] = gathering(moved(encode, images.held_out, changes)).tolist()
        return found


def _alike(encoder: Encoder, images: Tensor, compute: Compute, count: CountImages) -> float:
    batch = min(_FIRST_BATCH, batch_size(images))
    features = features_of(encoder, images, compute, batch, count)
    require_features(features, encoder.spec.name, "scan")
    return concentration(features).item()
