from __future__ import annotations

import copy

import torch
from torch.nn import functional as F

from mimic_ray.defences.anp import disturbances, learnt_masks
from mimic_ray.defences.prunable_units import rows
from mimic_ray.defences.training_loop import batches
from tests.support.small_defence_inputs import defence_inputs


def test_the_first_step_is_that_of_the_formula():
    """dL/dm = gamma dL/dgamma', with gamma' = gamma (m + d) written into a copy of the network."""
    inputs, size, alpha = defence_inputs(), 0.4, 0.2
    found = rows(inputs.suspect, "anp")
    masks = learnt_masks(
        inputs, inputs.suspect, found, size=size, alpha=alpha, rate=5.0, steps=1, batch=8
    )

    (batch,) = batches(inputs, 1, 8)
    ones = [torch.ones(each.units) for each in found]
    noise, shift = (
        [leaf.detach() for leaf in disturbances(0, part, 0, ones, size)] for part in ("d", "e")
    )
    own = dict(inputs.suspect.named_parameters())

    def gradients(d, e):
        network = copy.deepcopy(inputs.suspect).requires_grad_(True)
        named = dict(network.named_parameters())
        for each, dk, ek in zip(found, d, e, strict=True):
            named[each.weight].data.mul_(1 + dk)
            named[each.bias].data.mul_(1 + ek)
        view = batch.view()
        (1 - F.cosine_similarity(network(view), inputs.suspect(view)).mean()).backward()
        weights = [named[each.weight].grad * own[each.weight] for each in found]
        biases = [named[each.bias].grad * own[each.bias] for each in found]
        return weights, biases

    rising, rising_shift = gradients(noise, shift)
    noise = [d + size * g.sign() for d, g in zip(noise, rising, strict=True)]
    shift = [e + size * g.sign() for e, g in zip(shift, rising_shift, strict=True)]
    falling, _ = gradients(noise, shift)
    for mask, gradient in zip(masks, falling, strict=True):
        # The undisturbed loss has no gradient where every mask is 1.
        expected = (1 - 5.0 * (1 - alpha) * gradient).clamp(0, 1)
        torch.testing.assert_close(mask.detach(), expected, rtol=1e-3, atol=1e-4)
    assert any((mask < 1).any() for mask in masks)
