from __future__ import annotations

from torch import nn

from mimic_ray.encoders.encoder import Encoder, Spec
from mimic_ray.encoders.encoder_registry import build
from mimic_ray.encoders.stages import stages, weight_stages


def test_the_layers_of_a_resnet_are_its_stages():
    found = stages(build("cifar_resnet20"))
    assert found[0] == ["layer1.0", "layer1.1", "layer1.2"]
    assert [len(group) for group in found] == [3, 3, 3]
    assert [len(group) for group in stages(build("simclr_resnet18"))] == [2, 2, 2, 2]


def test_the_stages_of_a_transformer_are_quarters_of_its_blocks():
    assert stages(build("vit_ti16"))[1] == ["blocks.3", "blocks.4", "blocks.5"]
    assert stages(build("tiny_vit")) == [["blocks.0"], ["blocks.1"], ["blocks.2"]]


def test_every_weight_of_a_layer_has_a_stage_and_no_norm_has():
    found = weight_stages(build("tiny_resnet"))
    assert found == {
        "conv1.weight": -1,
        **{f"layer{n}.0.conv{k}.weight": n - 1 for n in (1, 2, 3) for k in (1, 2)},
    }
    transformer = weight_stages(build("tiny_vit"))
    assert transformer["patch_embed.proj.weight"] == -1
    assert transformer["blocks.2.mlp.fc2.bias"] == 2
    assert not [name for name in transformer if "norm" in name or "pos_embed" in name]


def test_what_follows_the_last_stage_is_told_from_what_comes_before_the_first():
    found = weight_stages(build("clip_rn50"))
    assert found["conv1.weight"] == -1
    assert {stage for name, stage in found.items() if name.startswith("attnpool")} == {None}


def test_an_encoder_without_blocks_has_its_layers_in_quarters():
    net = nn.Sequential(*(nn.Linear(4, 4) for _ in range(8)))
    spec = Spec("mine", 4, 8, (0.5,) * 3, (0.5,) * 3, taps=())
    encoder = Encoder(spec, net, lambda net, images, taps: (net(images), {}))
    assert stages(encoder) == [["0", "1"], ["2", "3"], ["4", "5"], ["6", "7"]]
    assert weight_stages(encoder)["7.bias"] == 3
