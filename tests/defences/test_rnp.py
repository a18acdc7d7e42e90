from __future__ import annotations

import torch

from mimic_ray.defences import rnp as module
from mimic_ray.defences.rnp import rnp
from mimic_ray.defences.training_loop import add_weight_noise, batches, phases, suspect_as_student
from tests.support.first_step import cosine_distance
from tests.support.small_defence_inputs import defence_inputs


def test_unlearning_ends_once_the_features_are_unlearnt():
    quick = rnp(defence_inputs(), unlearning_rate=0.5, unlearning_steps=60, steps=1, batch=8)
    slow = rnp(defence_inputs(), unlearning_rate=1e-6, unlearning_steps=6, steps=1, batch=8)
    assert quick.images_seen < (60 + 1) * 8
    assert slow.images_seen == (6 + 1) * 8


def test_what_is_pruned_is_the_suspect_encoder_not_the_unlearnt_one():
    inputs = defence_inputs()
    nothing = rnp(inputs, threshold=0, unlearning_steps=3, steps=2, batch=8).encoder
    for (_, found), (_, was) in zip(
        nothing.net.state_dict().items(), inputs.suspect.net.state_dict().items(), strict=True
    ):
        assert torch.equal(found, was)
    made = rnp(
        inputs, threshold=0.9, rate=2e3, unlearning_rate=0.5, unlearning_steps=20, steps=2, batch=8
    ).encoder
    changed = 0
    for name, found in made.net.state_dict().items():
        was = inputs.suspect.net.state_dict()[name]
        if name.startswith("bn1.weight") or (".bn" in name and name.endswith("weight")):
            assert ((found == was) | (found == 0)).all()
            changed += int((found != was).sum())
        else:
            assert torch.equal(found, was)
    assert changed > 0


def test_a_step_of_unlearning_and_one_of_recovery_are_those_of_the_formula(monkeypatch):
    inputs, rate = defence_inputs(), 50.0
    masks: list[torch.Tensor] = []

    def kept(*arguments: object) -> int:
        masks.extend(mask.detach().clone() for mask in arguments[2])
        return 0

    monkeypatch.setattr(module, "prune", kept)
    rnp(inputs, unlearning_rate=0.5, rate=rate, unlearning_steps=1, steps=1, batch=8)

    first, second = (next(batches(each, 1, 8)) for each in phases(inputs, 1, 1))
    suspect, unlearnt = inputs.suspect, suspect_as_student(inputs)
    add_weight_noise(unlearnt, inputs.seed)
    cosine_distance(unlearnt(first.view(2)), suspect(first.view())).backward()
    weights = [*unlearnt.parameters()]
    length = torch.stack([w.grad.square().sum() for w in weights]).sum().sqrt().item()
    for weight in weights:
        weight.data += 0.5 * weight.grad * min(1, 20 / length)  # away from the suspect encoder
        weight.grad = None

    unlearnt.eval()
    view = second.view()
    (0.2 * cosine_distance(unlearnt(view), suspect(view))).backward()
    norms = [each for each in unlearnt.modules() if isinstance(each, torch.nn.BatchNorm2d)]
    assert len(norms) == len(masks)
    for norm, mask in zip(norms, masks, strict=True):
        # A mask scales the weight: by the chain rule its gradient at 1 is weight * gradient.
        expected = (1 - rate * norm.weight.grad * norm.weight.data).clamp(0, 1)
        torch.testing.assert_close(mask, expected, rtol=1e-3, atol=1e-4)
    assert min(float(mask.min()) for mask in masks) < 0.99
