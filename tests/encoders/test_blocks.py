import copy

import pytest
import torch

from mimic_ray.encoders import encoder_registry
from mimic_ray.encoders.blocks import blocks, checkpoint_activations

UNITS = {"tiny_resnet": 3, "tiny_vit": 3, "resnet50": 16, "vit_b16": 12, "simclr_resnet18": 8}


@pytest.fixture(params=["tiny_resnet", "tiny_vit"])
def encoder(request):
    torch.manual_seed(0)
    return encoder_registry.build(request.param).train()


@pytest.mark.parametrize("name", UNITS)
def test_the_repeated_units_are_found(name):
    with torch.device("meta"):
        encoder = encoder_registry.build(name)
    found = blocks(encoder)
    assert len(found) == UNITS[name]
    inside = {id(m) for unit in found for m in unit.modules()}
    assert len(inside) == sum(len(list(unit.modules())) for unit in found)


def gradients(encoder, images):
    saved = {}

    def pack(tensor):
        saved[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        features, maps = encoder(images, taps=encoder.spec.taps)
        loss = features.square().mean() + sum(m.square().mean() for m in maps)
    loss.backward()
    return (
        loss,
        [p.grad for p in encoder.parameters()],
        list(encoder.buffers()),
        sum(saved.values()),
    )


def test_recomputing_activations_changes_only_memory(encoder):
    other = copy.deepcopy(encoder)
    assert checkpoint_activations(other) == 3
    images = torch.rand(4, 3, encoder.spec.input_size, encoder.spec.input_size)
    loss, grads, buffers, plain_bytes = gradients(encoder, images)
    again, other_grads, other_buffers, checkpointed_bytes = gradients(other, images)
    assert torch.equal(loss, again)
    for left, right in zip(grads, other_grads, strict=True):
        assert (left is None and right is None) or torch.equal(left, right)
    # Including the running statistics, which the second forward pass must not update again.
    assert all(map(torch.equal, buffers, other_buffers))
    assert checkpointed_bytes < 0.5 * plain_bytes
    assert other.state_dict().keys() == encoder.state_dict().keys()
