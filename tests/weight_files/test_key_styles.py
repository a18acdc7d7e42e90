"""Publishers' names of the same weights: every key has one name, and all names differ."""

from __future__ import annotations

import pytest

from mimic_ray.weight_files.key_match import fitting_encoders
from mimic_ray.weight_files.key_styles import OWN, STYLES, KeyStyle, styles_of
from mimic_ray.weight_files.known_layouts import known_layouts
from mimic_ray.weight_files.tensor_info import TensorInfo
from tests.weight_files.test_key_match import info, layout


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_a_style_gives_each_key_of_its_encoders_a_name_of_its_own(style: KeyStyle) -> None:
    encoders = [known.tensors for known in known_layouts().values() if style.mark in known.tensors]
    assert encoders
    for keys in encoders:
        assert len({style.key(key) for key in keys}) == len(keys)


def test_an_encoder_has_the_styles_of_its_keys() -> None:
    assert styles_of(known_layouts()["vit_b_16"].tensors) == [OWN]
    assert OWN.key("layer1.0.conv1.weight") == "layer1.0.conv1.weight"
    (style,) = styles_of(known_layouts()["simclr_resnet18"].tensors)[1:]
    assert style.key("f.3.0.conv1.weight") == "3.0.conv1.weight"


# Containers and prefixes of trainings on ImageNet: all hold torchvision's ResNet-50.
TRAININGS = {
    "MoCo": ("state_dict", "module.encoder_q.", "module.encoder_k."),
    "MoCo v3": ("state_dict", "module.base_encoder.", "module.momentum_encoder."),
    "SwAV": ("", "module.", ""),
    "Barlow Twins": ("model", "module.backbone.", ""),
    "VICReg": ("model", "module.backbone.", ""),
    "BYOL": ("", "online_encoder.net.", "target_encoder.net."),
    "SimCLR": ("state_dict", "backbone.", ""),
    "solo-learn": ("state_dict", "backbone.", "momentum_backbone."),
    "lightly": ("state_dict", "backbone.", "backbone_momentum."),
    "VISSL": ("classy_state_dict.base_model.model.trunk", "_feature_blocks.", ""),
    "compiled": ("state_dict", "_orig_mod.module.backbone.", ""),
}
OF_A_HEAD = ("projector.0.weight", "prototypes.weight", "queue", "fc.0.weight", "predictor.0.bias")


@pytest.mark.parametrize("training", TRAININGS)
def test_the_checkpoint_of_a_training_holds_its_resnet(training: str) -> None:
    group, prefix, copy = TRAININGS[training]
    known = known_layouts()["resnet50"].tensors
    file: dict[str, TensorInfo] = {prefix + key: tensor for key, tensor in known.items()}
    if copy:
        file |= {copy + key: tensor for key, tensor in known.items()}
    file |= {prefix + key: info(9, 9) for key in OF_A_HEAD}
    path = tuple(group.split(".")) if group else ()
    found = {match.encoder: match for match in fitting_encoders(layout({path: file}))}
    assert found["resnet50"].prefix == prefix
    assert len(found["resnet50"].also_fits) == bool(copy)
    assert "resnet18" not in found
