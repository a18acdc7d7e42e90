"""Files in the layouts of other publishers against their networks, re-stated here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mimic_ray.base.errors import UsageError
from mimic_ray.encoders import conv_builder, encoder_registry
from mimic_ray.evaluation.file_head import find_head
from mimic_ray.weight_files.key_match import fitting_encoders
from mimic_ray.weight_files.layout import read_layout
from mimic_ray.weight_files.load import load_checkpoint
from mimic_ray.weight_files.write import write_like
from tests.encoders import published_conv as published
from tests.encoders.published_conv import Weights

CIFAR10 = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
NONE = ((0.0,) * 3, (1.0,) * 3)
STL10 = ((0.44087798, 0.42790666, 0.38678814), (0.25507198, 0.24801506, 0.25641308))
TORCHSSL_STL10 = ((0.4408, 0.4278, 0.3867), (0.2682, 0.2612, 0.2686))
ATTO = {"depths": (2, 2, 6, 2), "widths": (40, 80, 160, 320), "second": True}
SOLO = ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
R18, R50 = (2, 2, 2, 2), (3, 4, 6, 3)
VGG16 = ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3)
IMAGENET_STEM = {"stem": (7, 2, 3), "pool": True}


class Case(NamedTuple):
    encoder: str
    network: Callable[[Weights, Tensor], Tensor]
    statistics: tuple[tuple[float, ...], tuple[float, ...]]
    prefix: str = ""
    beside: tuple[str, ...] = ()  # what else is in the file


resnet, wide = published.resnet, published.wide_resnet
CASES = {
    "SSL on CIFAR": Case(
        "resnet18_cifar", partial(resnet, blocks=R18), CIFAR10, "backbone.", ("projector.0.weight",)
    ),
    "kuangliu": Case(
        "resnet18_cifar",
        partial(resnet, blocks=R18, names=published.kuangliu),
        CIFAR10,
        "module.",
        ("module.linear.weight",),
    ),
    "SupContrast": Case(
        "resnet50_cifar",
        partial(resnet, blocks=R50, bottleneck=True, names=published.kuangliu),
        CIFAR10,
        "encoder.",
        ("head.0.weight",),
    ),
    "solo-learn on CIFAR": Case(
        "solo_resnet18",
        partial(resnet, blocks=R18, stem=(3, 1, 2)),
        SOLO,
        "backbone.",
        ("classifier.weight", "queue"),
    ),
    "lightly's own ResNet": Case(
        "lightly_resnet18",
        partial(resnet, blocks=R18, names=published.of_lightly, relu=False),
        IMAGENET,
        "backbone.",
        ("projection_head.layers.0.weight",),
    ),
    "lightly, torchvision's children": Case(
        "resnet18@64",
        partial(resnet, blocks=R18, names=published.children(4), **IMAGENET_STEM),
        IMAGENET,
        "backbone.",
        ("projection_head.layers.0.weight",),
    ),
    "leftthomas/SimCLR": Case(
        "simclr_resnet18",
        partial(resnet, blocks=R18, names=published.children(3)),
        CIFAR10,
        "module.f.",
        ("module.g.0.weight",),
    ),
    "BadEncoder on STL-10": Case(
        "badencoder_stl10",
        partial(resnet, blocks=R18, names=published.children(3)),
        STL10,
        "f.f.",
        ("g.0.weight",),
    ),
    "BadEncoder on ImageNet": Case(
        "badencoder_imagenet@64",
        partial(resnet, blocks=R50, bottleneck=True, **IMAGENET_STEM),
        NONE,
        "visual.",
        ("visual.fc.weight",),
    ),
    "Hugging Face, basic": Case(
        "resnet18@64",
        partial(resnet, blocks=R18, names=published.hugging_face, **IMAGENET_STEM),
        IMAGENET,
        "",
        ("classifier.1.weight",),
    ),
    "Hugging Face, bottleneck": Case(
        "resnet50@64",
        partial(resnet, blocks=R50, bottleneck=True, names=published.hugging_face, **IMAGENET_STEM),
        IMAGENET,
    ),
    "SwAV, twice as wide": Case(
        "resnet50w2@32",
        partial(resnet, blocks=R50, bottleneck=True, width=128, **IMAGENET_STEM),
        IMAGENET,
        "module.",
        ("module.projection_head.0.weight", "module.prototypes.weight"),
    ),
    "PreAct": Case(
        "preact_resnet18",
        partial(published.preact_resnet, blocks=R18),
        CIFAR10,
        "module.",
        ("module.linear.weight",),
    ),
    "PreAct, bottleneck": Case(
        "preact_resnet50@16", partial(published.preact_resnet, blocks=R50, bottleneck=True), CIFAR10
    ),
    "WRN-16-1 of NAD": Case(
        "wrn16_1", partial(wide, depth=16, factor=1, biased=False), CIFAR10, "", ("fc.weight",)
    ),
    "WRN-40-2 of TRADES": Case(
        "wrn40_2",
        partial(wide, depth=40, factor=2, biased=False),
        CIFAR10,
        "module.",
        ("module.sub_block1.layer.0.bn1.weight",),
    ),
    "WRN-40-2 of meliketoy": Case(
        "wrn40_2_biased",
        partial(wide, depth=40, factor=2, biased=True),
        CIFAR10,
        "module.",
        ("module.linear.weight",),
    ),
    "WRN-28-2 of FixMatch": Case(
        "fixmatch_wrn28_2@16",
        partial(published.ssl_wide_resnet, factor=2, biased=False, epsilon=1e-5),
        SOLO,
        "module.",
        ("module.fc.weight",),
    ),
    "WRN-28-2 of TorchSSL": Case(
        "torchssl_wrn28_2@16", partial(published.ssl_wide_resnet, factor=2), SOLO
    ),
    "WRN-28-2 of USB": Case(
        "usb_wrn28_2@16",
        partial(published.ssl_wide_resnet, factor=2, skips=False),
        SOLO,
        "",
        ("fc.weight",),
    ),
    "WRN-37-2 of TorchSSL": Case(
        "torchssl_wrn37_2@32",
        partial(published.ssl_wide_resnet, factor=2, layers=4),
        TORCHSSL_STL10,
        "module.",
    ),
    "VGG-16": Case(
        "vgg16_bn_cifar",
        partial(published.vgg, groups=VGG16),
        CIFAR10,
        "module.",
        ("module.classifier.weight",),
    ),
    "I-BAU": Case(
        "vgg_small",
        partial(
            published.vgg,
            groups=((32, 32), (64, 64), (128, 128)),
            activation=F.elu,
            dropout=True,
        ),
        NONE,
        "",
        ("classifier.weight", "classifier.bias"),
    ),
    "ConvNeXt": Case(
        "convnext_tiny@64",
        partial(published.convnext, depths=(3, 3, 9, 3), widths=(96, 192, 384, 768), hub=False),
        IMAGENET,
        "",
        ("head.weight",),
    ),
    "ConvNeXt V2": Case(
        "convnextv2_atto@64",
        partial(published.convnext, **ATTO, hub=False),
        IMAGENET,
        "",
        ("head.weight",),
    ),
    "Hugging Face ConvNeXt V2": Case(
        "convnextv2_atto@64",
        partial(published.convnext, **ATTO, hub=True),
        IMAGENET,
        "",
        ("classifier.weight",),
    ),
    "Hugging Face ConvNeXt": Case(
        "convnext_tiny@64",
        partial(published.convnext, depths=(3, 3, 9, 3), widths=(96, 192, 384, 768), hub=True),
        IMAGENET,
        "",
        ("classifier.weight",),
    ),
}


def written(case: Case, folder: Path) -> tuple[Path, Tensor, Tensor, dict[str, Tensor]]:
    """A file in the publisher's layout, images, their features, and the file's tensors."""
    torch.manual_seed(1)
    side = encoder_registry.input_size(case.encoder)
    images, weights = torch.rand(2, 3, side, side), Weights()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in case.statistics)
    with torch.no_grad():
        features = case.network(weights, (images - mean) / std)
    state = {case.prefix + key: value for key, value in weights.items()}
    state |= {key: torch.rand(5, 7) for key in case.beside}
    torch.save({"epoch": 3, "state_dict": state}, folder / "suspect.pth")
    return folder / "suspect.pth", images, features, state


@pytest.mark.filterwarnings("ignore::mimic_ray.base.assumptions.AssumptionWarning")
@pytest.mark.parametrize(
    "name",
    # A network of 90 million weights.
    [pytest.param(n, marks=pytest.mark.slow) if n == "SwAV, twice as wide" else n for n in CASES],
)
def test_features_are_the_publishers_and_an_export_has_its_keys(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    path, images, features, state = written(case, tmp_path)
    loaded = load_checkpoint(path, case.encoder)
    with torch.no_grad():
        ours = loaded.encoder(images)
    assert (ours - features).norm() < 1e-5 * features.norm()
    assert loaded.fit.left_out == [*case.beside]

    purified = {key: 2 * value for key, value in loaded.encoder.net.state_dict().items()}
    write_like(path, loaded.fit, purified, tmp_path / "export.pth")
    exported = torch.load(tmp_path / "export.pth", weights_only=True)["state_dict"]
    assert list(exported) == list(state)
    for key, before in state.items():
        assert torch.equal(exported[key], before if key in case.beside else 2 * before), key


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "classes"),
    [("badnets_8", 10), ("l2_inv_0", 10), ("trojan_sq_2", 10), ("gtsrb_badnets_8", 43)],
)
def test_third_party_networks_fit_their_encoder_and_have_a_head(
    shared_data: Path, file: str, classes: int
) -> None:
    path = shared_data / "third-party" / f"vgg_small-{file}.pth"
    (found,) = fitting_encoders(read_layout(path))
    assert found.encoder == "vgg_small"
    loaded = load_checkpoint(path, found.encoder)
    head = find_head(loaded.checkpoint, loaded.fit, loaded.encoder.spec.feature_width)
    assert head.weight.shape == (classes, 2048)


def test_a_vgg_needs_a_pixel_after_its_poolings_and_its_features_grow_with_the_image() -> None:
    assert encoder_registry.build("vgg_small@40").spec.feature_width == 128 * 5 * 5
    with pytest.raises(UsageError, match="vgg16_bn_cifar reduces 16 pixels to none"):
        encoder_registry.build("vgg16_bn_cifar@16")


def test_only_names_of_the_table_are_functions_of_the_module() -> None:
    assert not hasattr(conv_builder, "resnet19_cifar")
    assert conv_builder.resnet18_cifar(16).spec.input_size == 16
