from __future__ import annotations

import pytest
import torch
from torch import nn

from mimic_ray.encoders import encoder_registry


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_it_equals_torchvisions_resnet_with_another_stem(depth: int) -> None:
    import torchvision

    torch.manual_seed(0)
    ours = encoder_registry.build(f"simclr_resnet{depth}@16").eval()
    theirs = torchvision.models.get_model(f"resnet{depth}", weights=None).eval()
    theirs.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    theirs.maxpool = theirs.fc = nn.Identity()
    indices = {"conv1": 0, "bn1": 1, "layer1": 3, "layer2": 4, "layer3": 5, "layer4": 6}
    renamed = {}
    for key, value in theirs.state_dict().items():
        layer, _, rest = key.partition(".")
        renamed[f"f.{indices[layer]}.{rest}"] = value
    ours.net.load_state_dict(renamed)
    images = torch.rand(2, 3, 16, 16)
    mean = torch.tensor([0.4914, 0.4822, 0.4465]).view(3, 1, 1)
    std = torch.tensor([0.2023, 0.1994, 0.2010]).view(3, 1, 1)
    with torch.no_grad():
        torch.testing.assert_close(
            ours(images, ["layer1"])[0], theirs((images - mean) / std), rtol=1e-4, atol=1e-5
        )


def test_the_keys_are_those_of_badencoders_files_without_the_first_prefix() -> None:
    keys = set(encoder_registry.build("simclr_resnet18").net.state_dict())
    assert {
        "f.0.weight",
        "f.1.running_mean",
        "f.3.0.conv1.weight",
        "f.4.0.downsample.1.bias",
    } <= keys
    assert len(keys) == 120  # 20 convolutions and 20 batch norms of five tensors
    assert all(key.startswith("f.") for key in keys)


def test_each_batch_norm_is_updated_once_per_forward() -> None:
    encoder = encoder_registry.build("simclr_resnet18").train()
    encoder(torch.rand(2, 3, 32, 32), ["layer1", "layer4"])
    counts = {
        int(module.num_batches_tracked)
        for module in encoder.modules()
        if isinstance(module, nn.BatchNorm2d) and module.num_batches_tracked is not None
    }
    assert counts == {1}
