from __future__ import annotations

import torch

from mimic_ray.defences.rnp import rnp
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
