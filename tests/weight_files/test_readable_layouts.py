"""Which layouts of keys an encoder is read from."""

from __future__ import annotations

from pathlib import Path

import pytest

from mimic_ray.weight_files.key_match import fitting_encoders
from mimic_ray.weight_files.key_styles import STYLES
from mimic_ray.weight_files.known_layouts import known_layouts
from mimic_ray.weight_files.layout import Layout
from mimic_ray.weight_files.readable_layouts import layouts

CONVNEXT = [
    "facebookresearch/ConvNeXt and ConvNeXt-V2",
    "Hugging Face ConvNeXt and ConvNeXt V2",
]


def layouts_of(name: str) -> list[str]:
    return layouts(name, known_layouts()[name].tensors)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vit_s16", ["Hugging Face ViT", "Hugging Face ViT (transformers 5)"]),
        ("dinov2_s14", ["Hugging Face DINOv2", "DINOv2 with blocks in chunks"]),
        ("dinov3_s16", ["Hugging Face DINOv3", "DINOv3"]),
        ("clip_vit_b16", ["Hugging Face CLIP"]),
        ("dinov3_7b16", ["Hugging Face DINOv3", "DINOv3"]),
        ("ijepa_h14", ["Hugging Face ViT", "Hugging Face ViT (transformers 5)"]),
        *((f"convnext{number}_tiny", CONVNEXT) for number in ("", "v2")),
        ("tiny_vit", []),
        ("cifar_resnet20", []),
    ],
)
def test_an_encoder_has_the_layouts_that_are_published_for_it(name, expected):
    assert layouts_of(name) == expected


def test_a_file_in_a_listed_style_fits_the_encoder():
    styles = {style.name: style for style in STYLES}
    for name in ("resnet18", "resnet18_cifar", "convnext_tiny", "simclr_resnet18"):
        known = known_layouts()[name].tensors
        assert layouts_of(name)
        for style in layouts_of(name):
            file = {styles[style].key(key): info for key, info in known.items()}
            layout = Layout(Path("a.pt"), "0" * 64, "torch-zip", {(): file}, {})
            assert name in {match.encoder for match in fitting_encoders(layout)}, style
