from __future__ import annotations

import functools
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from mimic_ray.encoders import encoder_registry
from mimic_ray.encoders.cifar_resnet import Block


@pytest.mark.parametrize(("depth", "weights"), [(20, 269_722), (32, 464_154), (56, 853_018)])
def test_the_number_of_weights_is_as_published(depth: int, weights: int) -> None:
    net = encoder_registry.build(f"cifar_resnet{depth}").net
    classifier = 64 * 10 + 10
    assert sum(weight.numel() for weight in net.parameters()) == weights - classifier
    convolutions = [key for key in net.state_dict() if ".conv" in f".{key}"]
    assert len(convolutions) == depth - 1


def test_a_shortcut_has_every_second_pixel_between_zero_channels() -> None:
    images = torch.arange(2 * 16.0).reshape(1, 2, 4, 4)
    shortcut = Block(2, 4, stride=2).shortcut(images)
    assert shortcut[0, :, 0, 0].tolist() == [0.0, 0.0, 16.0, 0.0]
    assert shortcut[0, 1].tolist() == [[0.0, 2.0], [8.0, 10.0]]
    assert shortcut[0, 0].abs().sum() == shortcut[0, 3].abs().sum() == 0


@functools.cache
def lossless_test_images(data: Path) -> tuple[Tensor, Tensor]:
    """uint8 [1017, 3, 32, 32] and their labels."""
    images, labels = {}, {}
    with tarfile.open(data / "cifar10-lossless" / "test-0000.tar.gz") as archive:
        for member in archive:
            key, _, kind = member.name.partition(".")
            content = archive.extractfile(member).read()  # type: ignore[union-attr]
            if kind == "png":
                pixels = np.array(Image.open(io.BytesIO(content)).convert("RGB"))
                images[key] = torch.from_numpy(pixels).permute(2, 0, 1)
            else:
                labels[key] = int(content)
    return torch.stack(list(images.values())), torch.tensor([labels[key] for key in images])


@pytest.mark.data
@pytest.mark.parametrize(
    ("depth", "correct"),
    [(20, 932), *(pytest.param(*case, marks=pytest.mark.slow) for case in ((32, 944), (56, 943)))],
)
def test_published_weights_reach_their_measured_accuracy(
    shared_data: Path, depth: int, correct: int
) -> None:
    from mimic_ray.weight_files.load import load_checkpoint

    path = shared_data / "assets" / f"resnet{depth}-cifar10.th"
    loaded = load_checkpoint(path, f"cifar_resnet{depth}")
    assert sorted(key.rpartition("module.")[2] for key in loaded.fit.left_out) == [
        "linear.bias",
        "linear.weight",
    ]
    head = loaded.checkpoint.groups[loaded.fit.group]
    weight, bias = head["module.linear.weight"], head["module.linear.bias"]

    images, labels = lossless_test_images(shared_data)
    with torch.no_grad():
        features = torch.cat([loaded.encoder(part / 255) for part in images.split(128)])
        found = (features @ weight.T + bias).argmax(dim=1)

    # One of 1,017 images is 0.1 percentage points.
    assert abs(int((found == labels).sum()) - correct) <= 1
