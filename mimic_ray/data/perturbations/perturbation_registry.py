"""Perturbation families: what a trigger of that kind could do to an image, drawn at random.

Each is a function with the same signature:

    family(images, keys, donors, strength=1.0) -> float [B, 3, S, S] in [0, 1]

    images    float [B, 3, S, S] in [0, 1]; every one is changed, each with its own parameters
    keys      int64 [B]: an outcome depends on its image, its key and the donors alone
    donors    float [M, 3, S, S]: other clean images, for the families that use one
    strength  scales the change; 0 leaves the image as it is

The distributions are those with which a student forgot planted triggers of these kinds at 32
pixels; sizes are relative to the side, so that they mean the same at 224.
"""

from __future__ import annotations

from mimic_ray.base.registry import Registry

PERTURBATIONS = Registry(
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
)
