from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import UsageError
from mimic_ray.defences.prunable_units import (
    hidden_units,
    normed_convolutions,
    prune,
    rows,
    scaled_features,
)
from mimic_ray.encoders.encoder import Encoder, Spec
from mimic_ray.encoders.encoder_registry import build
from tests.support.small_defence_inputs import suspect

COMPUTE = Compute("cpu", "fp32", 1)


def encoder_of(net: nn.Module) -> Encoder:
    spec = Spec("mine", 4, 8, (0.5,) * 3, (0.5,) * 3, taps=())
    return Encoder(spec, net, lambda net, images, taps: (net(images).flatten(1), {}))


def names_of_pairs(encoder: Encoder) -> dict[str, str]:
    names = {id(module): name for name, module in encoder.net.named_modules()}
    return {names[id(p.norm)]: names[id(p.convolution)] for p in normed_convolutions(encoder)}


def test_each_norm_is_paired_with_the_convolution_that_it_reads():
    pairs = names_of_pairs(build("tiny_resnet"))
    assert len(pairs) == 7
    assert all(norm.replace("bn", "conv") == conv for norm, conv in pairs.items())
    shortcut = names_of_pairs(build("resnet18@64"))
    assert shortcut["layer2.0.downsample.1"] == "layer2.0.downsample.0"
    assert len(shortcut) == 20


def test_a_norm_before_its_convolution_or_behind_an_activation_has_no_pair():
    before = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3))
    behind = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.BatchNorm2d(4))
    through = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Identity(), nn.BatchNorm2d(4))
    assert [len(normed_convolutions(encoder_of(n))) for n in (before, behind, through)] == [0, 0, 1]


def test_looking_leaves_no_hook_and_no_mode_behind():
    encoder = suspect().train()
    mean = encoder.net.bn1.running_mean.clone()
    normed_convolutions(encoder)
    assert encoder.training
    assert torch.equal(encoder.net.bn1.running_mean, mean)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in encoder.modules())


def test_hidden_units_of_transformers_come_with_the_norm_that_they_read():
    from torchvision.models.vision_transformer import MLPBlock

    encoder = build("tiny_vit")
    found = hidden_units(encoder)
    assert [unit.norm for unit in found] == [block.norm2 for block in encoder.net.blocks]
    assert [unit.first for unit in found] == [block.mlp.fc1 for block in encoder.net.blocks]
    own = encoder_of(nn.Sequential(nn.LayerNorm(8), MLPBlock(8, 16, 0.0)))
    (unit,) = hidden_units(own)
    assert (unit.norm, unit.second) == (own.net[0], own.net[1][3])


@pytest.mark.parametrize("architecture", ["tiny_resnet", "tiny_vit"])
def test_scales_act_as_if_weights_and_biases_had_been_multiplied(architecture):
    encoder = suspect(architecture)
    found = rows(encoder, "anp")
    torch.manual_seed(1)
    scales = [torch.rand(each.units) for each in found]
    shifts = [torch.rand(each.units) for each in found]
    changed = copy.deepcopy(encoder)
    own = dict(changed.named_parameters())
    for each, scale, shift in zip(found, scales, shifts, strict=True):
        weight = own[each.weight]
        weight.mul_(scale.reshape([-1] + [1] * (weight.ndim - 1)))
        assert each.bias is not None
        own[each.bias].mul_(shift)
    images = torch.rand(3, 3, 32, 32)
    torch.testing.assert_close(
        scaled_features(encoder, images, COMPUTE, found, scales, shifts), changed(images)
    )


def test_pruning_sets_the_weights_of_small_masks_to_zero():
    encoder = suspect()
    found = rows(encoder, "anp")
    masks = [torch.ones(each.units) for each in found]
    masks[0][2] = 0.1
    kept = encoder.net.bn1.weight.clone()
    assert prune(encoder, found, masks, below=0.2) == 1
    assert encoder.net.bn1.weight[2] == 0
    kept[2] = 0
    assert torch.equal(encoder.net.bn1.weight, kept)


def test_an_encoder_with_nothing_to_prune_is_refused():
    with pytest.raises(UsageError, match="mine has no norm and no MLP"):
        rows(encoder_of(nn.Sequential(nn.Conv2d(3, 4, 8))), "anp")
