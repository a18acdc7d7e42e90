"""Perturbations: the changes that triggers make to an image, with random parameters.

A new built-in one is one file and one line in the table below; its probability is 0 until a recipe
sets it.

Each is a function

    perturbation(images, keys, donors, strength=1.0) -> float [B, 3, S, S] in [0, 1]

    images    float [B, 3, S, S] in [0, 1]; every image is changed, each with its own parameters
    keys      int64 [B]; the result depends only on image, key and donors
    donors    float [M, 3, S, S]: other clean images, which the function may paste or blend in
    strength  scales the change; 0 does not change the image

The first line of the docstring describes it in the model card. Keyword-only parameters are its
settings: keys of its table in a recipe, next to `probability` and `strength`.

The built-in distributions removed planted triggers of these kinds from students at 32 pixels. Sizes
are shares of the image side, so that they have the same meaning at 224 pixels.

Your own perturbation is a file and a recipe that names it:

    # my_perturbations.py
    from mimic_ray.parts import uniform

    def darken(images, keys, donors, strength=1.0):
        \"\"\"Darker images: all channels scaled by 0.5 to 1.\"\"\"
        factor = 1 - 0.5 * strength * uniform(keys, 1)[:, :, None, None]
        return images * factor

    # recipe.toml
    [perturbations."my_perturbations.py:darken"]
    probability = 0.3

Derive random numbers from `keys`, as here, so that resumed runs and runs with another number of
workers get the same images. Values outside [0, 1] are clamped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mimic_ray.base import user_code
from mimic_ray.base.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor


class Perturbation(Protocol):
    """See the module docstring."""

    def __call__(
        self, images: Tensor, keys: Tensor, donors: Tensor, strength: float = ...
    ) -> Tensor: ...


def _checked(apply: Perturbation, name: str) -> Perturbation:
    """Adds a check of the result to a user's function; returns a built-in one unchanged."""
    if not user_code.is_user_code(name):
        return apply

    def checked(images: Tensor, keys: Tensor, donors: Tensor, strength: float = 1.0) -> Tensor:
        with user_code.named_errors(name):
            changed = apply(images, keys, donors, strength)
            if changed.shape != images.shape or changed.dtype != images.dtype:
                raise ValueError(
                    f"returned {changed.dtype} {[*changed.shape]} for {images.dtype} "
                    f"{[*images.shape]}"
                )
            return changed.clamp(0, 1)

    return checked


PERTURBATIONS = Registry[Perturbation](
    "perturbation",
    {
        "patch": "mimic_ray.data.perturbations.patch:patch",
        "blend": "mimic_ray.data.perturbations.blend:blend",
        "frequency": "mimic_ray.data.perturbations.frequency:frequency",
        "colour": "mimic_ray.data.perturbations.colour:colour",
        "warp": "mimic_ray.data.perturbations.warp:warp",
        "blur": "mimic_ray.data.perturbations.blur:blur",
        "noise": "mimic_ray.data.perturbations.noise:noise",
    },
    user_form="functions (images, keys, donors, strength) -> images",
    calls={"": ("images", "keys", "donors", "strength")},
    adapt=_checked,
)
