"""torchvision's networks against themselves, through a file with their own keys and classifier."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from mimic_ray.encoders.conv_table import CONV_ENCODERS
from mimic_ray.weight_files.key_match import fitting_encoders
from mimic_ray.weight_files.layout import read_layout
from mimic_ray.weight_files.load import load_checkpoint

SIDE = 64
SMALLEST = (
    *("convnext_tiny", "swin_t", "swin_v2_t", "efficientnet_b0", "efficientnet_v2_s"),
    *("mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large"),
)
MEAN, STD = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize("name", SMALLEST)
def test_features_equal_those_before_torchvisions_classifier(name: str, tmp_path: Path) -> None:
    import torchvision

    torch.manual_seed(0)
    net = torchvision.models.get_model(name, weights=None)
    images = torch.rand(4, 3, SIDE, SIDE)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # the statistics of these images, so that features differ
    with torch.no_grad():
        net.train()(images)
    net.eval()
    torch.save({"model": net.state_dict(), "epoch": 3}, tmp_path / "suspect.pth")
    (found,) = fitting_encoders(read_layout(tmp_path / "suspect.pth"))
    assert found.encoder == f"torchvision_{name}"
    assert all(key.startswith(("classifier.", "head.")) for key in found.left_out)

    loaded = load_checkpoint(tmp_path / "suspect.pth", f"{found.encoder}@{SIDE}")
    if name.startswith("swin"):
        net.head = nn.Identity()
    else:
        net.classifier = net.classifier[:2] if name.startswith("convnext") else nn.Identity()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    with torch.no_grad():
        expected = net((images - mean) / std)
        features, maps = loaded.encoder(images, loaded.encoder.spec.taps)
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-4)
    assert (features[0] - features[1]).abs().max() > 1e-3
    assert [SIDE // tap.shape[-1] for tap in maps] == [4, 8, 16, 32]


def test_every_size_of_these_families_is_listed() -> None:
    import torchvision

    theirs = torchvision.models.list_models(module=torchvision.models)
    families = ("convnext", "swin", "efficientnet", "mobilenet")
    ours = {name.removeprefix("torchvision_") for name in CONV_ENCODERS}
    assert {name for name in theirs if name.startswith(families)} <= ours
