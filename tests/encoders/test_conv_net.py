from __future__ import annotations

import torch
from torch import nn

from mimic_ray.encoders import encoder_registry
from mimic_ray.encoders.conv_net import attach


def test_a_path_with_dots_has_one_module_for_each_parent() -> None:
    net = nn.Module()
    first, second = nn.Linear(1, 2), nn.Linear(3, 4)
    attach(net, "f.0", first)
    attach(net, "f.3", second)
    assert [*net.state_dict()] == ["f.0.weight", "f.0.bias", "f.3.weight", "f.3.bias"]
    assert net.get_submodule("f.3") is second


def test_each_batch_norm_is_updated_once_per_forward() -> None:
    encoder = encoder_registry.build("simclr_resnet18@16").train()
    encoder(torch.rand(2, 3, 16, 16), ["layer1", "layer4"])
    norms = [module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 20
    assert {int(norm.num_batches_tracked or 0) for norm in norms} == {1}
