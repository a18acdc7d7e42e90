"""What a file says about its encoder beside the weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mimic_ray.weight_files.alternatives import Alternative
from mimic_ray.weight_files.clues import narrowed
from mimic_ray.weight_files.layout import Layout
from mimic_ray.weight_files.tensor_info import TensorInfo

MOCO = Alternative(("moco_vit_s16",), {"heads": "12"})
SIX = Alternative(("deit_s16", "dino_s16", "mae_s16"), {"heads": "6"})
HALF = Alternative(("vit_s16@384:normalise=half",), {"heads": "6", "activation": "QuickGELU"})


def layout(*keys: str, **notes: str) -> Layout:
    group = {key: TensorInfo((1,), "float32") for key in keys}
    notes = {key.replace("__", "."): note for key, note in notes.items()}
    return Layout(Path("a.pt"), "0" * 64, "torch-zip", {("state_dict",): group}, notes)


@pytest.mark.parametrize(
    ("file", "names"),
    [
        (layout("module.base_encoder.cls_token", "module.momentum_encoder.norm"), "moco_vit_s16"),
        (layout("cls_token", args__moco_m="0.99"), "moco_vit_s16"),
        (layout("head.last_layer.weight_g"), "dino_s16"),
        (layout("decoder_blocks.0.norm1.weight", "cls_token"), "mae_s16"),
        (layout("cls_token", args__arch="vit_small_patch16_224"), "vit_s16@384:normalise=half"),
        (layout("cls_token", args__model="deit_small_patch16_224"), "deit_s16"),
        (layout("cls_token", config__num_attention_heads="12"), "moco_vit_s16"),
        (layout("cls_token", config__hidden_act="quick_gelu"), "vit_s16@384:normalise=half"),
    ],
)
def test_a_clue_leaves_the_encoders_that_it_stands_for(file, names):
    left, sign = narrowed(file, [SIX, HALF, MOCO])
    assert [name for each in left for name in each.names] == [names]
    assert sign


def test_files_of_clip_and_of_badencoder_are_told_by_what_their_authors_save():
    clip = [Alternative((f"{name}_vit_b16",), {}) for name in ("openclip", "clip")]
    resnet = [Alternative((name,), {}) for name in ("resnet50", "badencoder_imagenet")]
    assert narrowed(layout("visual.proj", "context_length"), clip)[0] == clip[1:]
    assert narrowed(layout("visual.layer1.0.conv1.weight"), resnet)[0] == resnet[1:]
    assert narrowed(layout("layer1.0.conv1.weight"), resnet)[0] == resnet


@pytest.mark.parametrize(
    ("config", "names"),
    [
        ({"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}, ["vit_s16"]),
        ({"pretrained_cfg.mean": [0.485, 0.456, 0.406]}, ["dino_s16", "vit_s16"]),
        ({"vision_config.num_attention_heads": 6}, ["dino_s16"]),
        ({"text_config.num_attention_heads": 6}, ["dino_s16", "vit_s16"]),
        ({"image_mean": ["a", "b", "c"], "image_std": [1, 1, 1]}, ["dino_s16", "vit_s16"]),
        ({"architecture": "vit_small_patch16_224"}, ["vit_s16"]),
    ],
)
def test_the_config_beside_the_weights_is_a_clue(config, names):
    dino = Alternative(("dino_s16",), {"mean and std": "imagenet", "heads": "6"})
    vit = Alternative(("vit_s16",), {"mean and std": "half", "heads": "12"})
    left, _ = narrowed(replace(layout("cls_token"), config=config), [dino, vit])
    assert [name for each in left for name in each.names] == names


@pytest.mark.parametrize(
    ("key", "left"),
    [
        ("vit.embeddings.distillation_token", "deit_s16_distilled_class"),
        ("dist_token", "deit_s16_distilled"),
        ("input_resolution", "clip_vit_b32"),
    ],
)
def test_key_names_tell_what_distilled_deit_and_clip_compute(key, left):
    names = ("deit_s16_distilled", "deit_s16_distilled_class", "clip_vit_b32", "openclip_vit_b32")
    every = [Alternative((name,), {"pooling": name}) for name in names]
    (found,), sign = narrowed(layout(key), every)
    assert found.names == (left,)
    assert sign


def test_a_file_without_a_clue_leaves_all():
    # A name that two families use for different networks is no clue.
    for file in (layout("cls_token"), layout("cls_token", arch="vit_small", epoch="300")):
        assert narrowed(file, [SIX, HALF, MOCO]) == ([SIX, HALF, MOCO], "")


def test_a_clue_for_an_encoder_that_does_not_fit_is_left_aside():
    assert narrowed(layout("base_encoder.conv1.weight"), [SIX]) == ([SIX], "")
