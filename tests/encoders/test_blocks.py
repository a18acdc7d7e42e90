import copy
from dataclasses import replace

import pytest
import torch

from mimic_ray.encoders import encoder_registry
from mimic_ray.encoders.blocks import (
    _frozen_statistics,
    blocks,
    checkpoint_activations,
    repeated_modules,
)

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


def test_the_blocks_of_a_network_that_declares_none_are_found_by_structure(encoder):
    declared = blocks(encoder)
    encoder.spec = replace(encoder.spec, blocks=())
    assert [*map(id, blocks(encoder))] == [*map(id, declared)]
    assert [*map(id, repeated_modules(encoder.net))] == [*map(id, declared)]


@pytest.mark.parametrize("name", ["resnetv2_50x1_bit", "vit_large_r50_s32_384"])
def test_stages_are_not_blocks(name):
    with torch.device("meta"):
        encoder = encoder_registry.build(name)
    found = blocks(encoder)
    residual = [m for m in encoder.net.modules() if type(m).__name__ == "PreActBottleneck"]
    residual += [m for m in encoder.net.modules() if type(m).__name__ == "Bottleneck"]
    transformer = list(getattr(encoder.net, "blocks", []))
    assert len(residual) > 10
    assert {*map(id, found)} == {*map(id, [*residual, *transformer])}


def test_frozen_statistics_suit_torch_s_synchronised_norm():
    """It must have a count of batches in train mode, also while a block is recomputed."""
    norm = torch.nn.SyncBatchNorm(3)
    with _frozen_statistics(torch.nn.Sequential(norm)):
        assert norm.num_batches_tracked is not None
        norm.num_batches_tracked.add_(1)
        assert norm.momentum == 0.0
    assert int(norm.num_batches_tracked) == 0
    assert norm.momentum == 0.1


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
