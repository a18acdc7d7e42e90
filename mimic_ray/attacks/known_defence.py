"""An adaptive attacker's knowledge of the defence: the perturbations of the default recipe.

A student learns what the suspect encoder does not do for perturbed images. An attacker who knows
that trains the suspect to answer them as the clean encoder does, so that only the exact trigger
opens the backdoor: neither the student's perturbed images nor the grids of a scan come near it.

p(x) is a perturbed shadow image, F the clean encoder, E the attacked one:

    L3 = - mean  n(E(p(x))) . n(F(p(x)))
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mimic_ray.attacks.attack_registry import AttackInputs
from mimic_ray.base import seeds
from mimic_ray.data.views import to_float
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.method.recipe import Recipe
from mimic_ray.method.student_teacher_views import choose_donors, drawn_perturbations, perturb


class KnownDefence:
    """L3 for a clean encoder in eval mode, on the device of `inputs.compute`."""

    def __init__(self, inputs: AttackInputs, clean: Encoder, seed: int) -> None:
        device = inputs.compute.torch_device
        self._clean, self._compute, self._seed = clean, inputs.compute, seed
        self._perturbations = drawn_perturbations(Recipe())
        self._donors = choose_donors(inputs.images, clean.spec.input_size, device)

    def perturbed(self, pixels: Tensor, step: int) -> Tensor:
        """p(x): uint8 [B, 3, S, S] -> float [B, 3, S, S] in [0, 1], on the device."""
        images = to_float(pixels).to(self._donors.device)
        keys = seeds.keys(self._seed, "known defence", step, torch.arange(len(images)))
        return perturb(images, keys.to(images.device), self._donors, self._perturbations)

    def loss(self, found: Tensor, images: Tensor) -> Tensor:
        """L3 in [-1, 1] of the attacked encoder's features [B, D] of perturbed images."""
        with torch.no_grad(), self._compute.autocast():
            wanted = self._clean(images).float()
        return -F.cosine_similarity(found, wanted).mean()
