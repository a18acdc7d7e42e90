"""The strongest openings of a suspect encoder, for its student to be trained on."""

from __future__ import annotations

from typing import Any

import torch

from mimic_ray.base.devices import Compute
from mimic_ray.base.progress import StepCallback
from mimic_ray.base.spacing import evenly_spaced
from mimic_ray.data.decoded_images import DecodedImages
from mimic_ray.data.views import centre, to_float
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.method.found_changes import FoundChanges
from mimic_ray.method.recipe import Recipe
from mimic_ray.method.recipe_sections import Openings
from mimic_ray.scanning.scan_images import LEAST, MOST, divided
from mimic_ray.scanning.scanner import scan_encoder

# Weaker openings are those of ordinary encoders; if none is strong, the strongest few are used even
# so, since a student does not suffer from them.
_STRONG, _IF_NONE_IS_STRONG = 0.3, 3


NOT_SEARCHED = (
    "The student was not trained on openings of the suspect encoder (openings.share > 0): to "
    "search for them takes at least 64 clean images."
)


def enough_images(count: int) -> bool:
    """Whether this many images can be searched on."""
    return count >= LEAST


def search_settings(recipe: Recipe) -> dict[str, Any]:
    """Everything in a recipe that decides which openings an active search finds."""
    return {**recipe.openings.model_dump(exclude={"share"}), "seed": recipe.training.seed}


def training_changes(
    encoder: Encoder,
    images: DecodedImages,
    settings: Openings,
    compute: Compute,
    seed: int,
    on_step: StepCallback = lambda done, total: None,
) -> FoundChanges | None:
    """Scans `encoder` on evenly spaced images of the set, and returns its strongest openings.

    A function of its arguments. None if the settings ask for none, or if there are too few images:
    a note then says NOT_SEARCHED. Raises DataError if the images are equal or each of one colour,
    CheckpointError if their features are constant or not finite: a student could learn nothing.
    """
    if not settings.active or not enough_images(len(images)):
        return None
    chosen = torch.tensor(evenly_spaced(MOST, len(images)))
    pictures = centre(to_float(images.gather(chosen)), encoder.spec.input_size)
    parts, _ = divided(pictures.to(compute.torch_device), "the clean set")
    findings = scan_encoder(encoder, parts, compute, seed, settings.effort, on_step=on_step)
    ranked = sorted(findings.openings, key=lambda opening: -opening.strength)
    strong = [opening for opening in ranked if opening.strength >= _STRONG]
    kept = [opening.change for opening in (strong or ranked[:_IF_NONE_IS_STRONG])[: settings.kept]]
    return FoundChanges(
        torch.stack([change.mask for change in kept]).float(),
        torch.stack([change.canvas for change in kept]).float(),
    )
