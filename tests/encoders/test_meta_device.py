from __future__ import annotations

import pytest
import torch

from mimic_ray.encoders.encoder_registry import build
from mimic_ray.encoders.meta_device import meta_device


@pytest.mark.parametrize("name", ["tiny_resnet", "tiny_vit", "clip_vit_b32", "convnext_tiny"])
def test_keys_shapes_and_types_are_those_of_the_network(name: str) -> None:
    with torch.device("meta"):
        plain = build(name)
    with meta_device():
        quick = build(name)
    assert quick.spec == plain.spec
    ours, theirs = quick.net.state_dict(), plain.net.state_dict()
    assert list(ours) == list(theirs)
    for key, tensor in ours.items():
        assert tensor.is_meta
        assert (tensor.shape, tensor.dtype) == (theirs[key].shape, theirs[key].dtype), key


def test_tensors_with_values_are_changed_as_outside() -> None:
    values = torch.zeros(3)
    with meta_device():
        assert torch.equal(values.add_(2), torch.full((3,), 2.0, device="cpu"))
        torch.nn.init.ones_(values)
    assert torch.equal(values, torch.ones(3))
