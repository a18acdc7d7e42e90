from __future__ import annotations

import pytest
import torch
from torch import nn

from mimic_ray.encoders import encoder_registry

NAMES = ["vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32", "vit_h_14"]


@pytest.mark.parametrize("name", NAMES)
def test_the_keys_are_torchvisions_without_the_heads(name: str) -> None:
    import torchvision

    with torch.device("meta"):
        ours = encoder_registry.build(name).net.state_dict()
        theirs = torchvision.models.get_model(name, weights=None).state_dict()
    assert list(ours) == [key for key in theirs if not key.startswith("heads.")]


def test_features_with_taps_equal_torchvisions() -> None:
    import torchvision

    from mimic_ray.encoders import torchvision_vit

    torch.manual_seed(0)
    net = torchvision.models.VisionTransformer(
        image_size=32, patch_size=8, num_layers=3, num_heads=2, hidden_dim=16, mlp_dim=32
    ).eval()
    net.heads = nn.Identity()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        features, maps = torchvision_vit.run(net, images, frozenset({"block0", "block2"}))
        torch.testing.assert_close(features, net(images))
        embedded = torch.cat([net.class_token.expand(2, -1, -1), net._process_input(images)], 1)
        first = net.encoder.layers[0](embedded + net.encoder.pos_embedding)
    assert set(maps) == {"block0", "block2"}
    # Row 2, column 1 of a 4 x 4 grid is token 9 after the class token.
    torch.testing.assert_close(maps["block0"][:, :, 2, 1], first[:, 1 + 9])


def test_every_transformer_of_torchvision_is_listed() -> None:
    import torchvision

    theirs = torchvision.models.list_models(module=torchvision.models, include="vit_*")
    assert sorted(theirs) == sorted(NAMES)
