"""Each publisher's layout: the features of the publisher's computation, and the same file back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from mimic_ray.encoders import clip_vit
from mimic_ray.encoders.aliases import TIMM_ALIASES
from mimic_ray.encoders.checkpoint.layout import Layout, TensorInfo
from mimic_ray.encoders.checkpoint.publisher_views import key_views, known_names
from mimic_ray.encoders.checkpoint.read import read_checkpoint
from mimic_ray.encoders.checkpoint.resolve import fit
from mimic_ray.encoders.checkpoint.write import write_like
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.encoders.normalisation import IMAGENET
from mimic_ray.encoders.vit_table import VIT_ENCODERS
from tests.encoders.published_vit import (
    DEPTH,
    EMBEDDING,
    GRID,
    PATCH,
    SIDE,
    WIDTH,
    Vit,
    Weights,
    fused,
    renamed,
    shaped,
)

NORM = ("running_mean", "running_var", "weight", "bias")
TOKEN = (1, 1, WIDTH)
FIRST = {"cls": TOKEN, "dist": TOKEN, "registers": (1, 4, WIDTH)}

LAYER = "encoder.layer.{}."
HF = {
    "cls": "embeddings.cls_token",
    "dist": "embeddings.distillation_token",
    "registers": "embeddings.register_tokens",
    "positions": "embeddings.position_embeddings",
    "patch": "embeddings.patch_embeddings.projection",
    "norm": "layernorm",
    "q": f"{LAYER}attention.attention.query",
    "k": f"{LAYER}attention.attention.key",
    "v": f"{LAYER}attention.attention.value",
    "o": f"{LAYER}attention.output.dense",
}
HF_VIT = HF | {
    "n1": f"{LAYER}layernorm_before",
    "n2": f"{LAYER}layernorm_after",
    "up": f"{LAYER}intermediate.dense",
    "down": f"{LAYER}output.dense",
}
HF_VIT_5 = HF_VIT | {
    "n1": "layers.{}.layernorm_before",
    "q": "layers.{}.attention.q_proj",
    "k": "layers.{}.attention.k_proj",
    "v": "layers.{}.attention.v_proj",
    "o": "layers.{}.attention.o_proj",
    "n2": "layers.{}.layernorm_after",
    "up": "layers.{}.mlp.fc1",
    "down": "layers.{}.mlp.fc2",
}
HF_DINOV2 = HF | {
    "n1": f"{LAYER}norm1",
    "s1": f"{LAYER}layer_scale1.lambda1",
    "n2": f"{LAYER}norm2",
    "s2": f"{LAYER}layer_scale2.lambda1",
    "up": f"{LAYER}mlp.fc1",
    "down": f"{LAYER}mlp.fc2",
    "in": f"{LAYER}mlp.weights_in",
}
HF_DINOV3 = {
    "cls": "embeddings.cls_token",
    "registers": "embeddings.register_tokens",
    "patch": "embeddings.patch_embeddings",
    "norm": "norm",
    "n1": "layer.{}.norm1",
    "q": "layer.{}.attention.q_proj",
    "k": "layer.{}.attention.k_proj",
    "v": "layer.{}.attention.v_proj",
    "o": "layer.{}.attention.o_proj",
    "s1": "layer.{}.layer_scale1.lambda1",
    "n2": "layer.{}.norm2",
    "gate": "layer.{}.mlp.gate_proj",
    "up": "layer.{}.mlp.up_proj",
    "down": "layer.{}.mlp.down_proj",
    "s2": "layer.{}.layer_scale2.lambda1",
}
HF_DINOV3_5 = {
    key: f"model.{name}" if name.startswith("layer.") else name for key, name in HF_DINOV3.items()
}
HF_CLIP = {
    "cls": "embeddings.class_embedding",
    "positions": "embeddings.position_embedding.weight",
    "patch": "embeddings.patch_embedding",
    "pre": "pre_layrnorm",
    "norm": "post_layernorm",
    "n1": "encoder.layers.{}.layer_norm1",
    "q": "encoder.layers.{}.self_attn.q_proj",
    "k": "encoder.layers.{}.self_attn.k_proj",
    "v": "encoder.layers.{}.self_attn.v_proj",
    "o": "encoder.layers.{}.self_attn.out_proj",
    "n2": "encoder.layers.{}.layer_norm2",
    "up": "encoder.layers.{}.mlp.fc1",
    "down": "encoder.layers.{}.mlp.fc2",
    "pool.probe": "head.probe",
    "pool.qkv": "head.attention.in_proj",
    "pool.o": "head.attention.out_proj",
    "pool.norm": "head.layernorm",
    "pool.up": "head.mlp.fc1",
    "pool.down": "head.mlp.fc2",
}
OPENAI = {
    "cls": "class_embedding",
    "positions": "positional_embedding",
    "patch": "conv1",
    "pre": "ln_pre",
    "norm": "ln_post",
    "n1": "transformer.resblocks.{}.ln_1",
    "qkv": "transformer.resblocks.{}.attn.in_proj",
    "o": "transformer.resblocks.{}.attn.out_proj",
    "n2": "transformer.resblocks.{}.ln_2",
    "up": "transformer.resblocks.{}.mlp.c_fc",
    "down": "transformer.resblocks.{}.mlp.c_proj",
    "projection": "proj",
}


def facebook(blocks: str = "blocks.{}.") -> dict[str, str]:
    """DINO, MAE, MoCo v3, DeiT, DINOv2 and DINOv3."""
    return {
        "cls": "cls_token",
        "dist": "dist_token",
        "registers": "register_tokens",
        "positions": "pos_embed",
        "patch": "patch_embed.proj",
        "norm": "norm",
        "n1": f"{blocks}norm1",
        "qkv": f"{blocks}attn.qkv",
        "o": f"{blocks}attn.proj",
        "s1": f"{blocks}ls1.gamma",
        "n2": f"{blocks}norm2",
        "up": f"{blocks}mlp.fc1",
        "down": f"{blocks}mlp.fc2",
        "s2": f"{blocks}ls2.gamma",
        "in": f"{blocks}mlp.w12",
        "gate": f"{blocks}mlp.w1",
    }


def quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


def gelu_tanh(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def first(w: Weights) -> Weights:
    """Tokens and positions with a leading dimension of 1."""
    count = len(w["positions"]) if "positions" in w else 0
    return shaped(w, **FIRST, positions=(1, count, WIDTH), **{"pool.probe": TOKEN})


def hf(names: dict[str, str], prefix: str = "") -> Callable[[Weights], Weights]:
    return lambda w: renamed(first(w), names, prefix)


def hf_clip(w: Weights) -> Weights:
    names = {key: f"vision_model.{name}" for key, name in HF_CLIP.items()}
    return renamed(w, names | {"projection": "visual_projection.weight"})


def hf_siglip(w: Weights) -> Weights:
    w = shaped(w, **{"pool.probe": TOKEN})
    pool = {key: value for key, value in w.items() if key.startswith("pool")}
    rest = {key: value for key, value in w.items() if key not in pool}
    return renamed(rest | fused(pool), HF_CLIP, "vision_model.")


def openai(w: Weights) -> Weights:
    return renamed(fused(w) | transposed(w), OPENAI, "visual.")


def transposed(w: Weights) -> Weights:
    return {"projection": w["projection"].T.contiguous()} if "projection" in w else {}


def gated(names: dict[str, str], down: str) -> Callable[[Weights], Weights]:
    """A DINOv2 with a gated MLP, whose gate comes first."""

    def stored(w: Weights) -> Weights:
        whole = fused(first(w), "gate up", "in")
        return renamed(whole if "q" in names else fused(whole), names | {"down": down})

    return stored


def plain(prefix: str = "", **names: str) -> Callable[[Weights], Weights]:
    return lambda w: renamed(fused(first(w)), facebook() | names, prefix)


def chunks(w: Weights) -> Weights:
    """Two chunks of one block each; the number of a block counts through all chunks."""
    return {
        key.replace("blocks.", f"backbone.blocks.{key.split('.')[1]}.")
        if key.startswith("blocks")
        else f"backbone.{key}": value
        for key, value in plain()(w).items()
    }


def dinov3(w: Weights) -> Weights:
    names = {"registers": "storage_tokens", "norm": "norm"}
    if "0.gate.weight" in w:
        names |= {"up": "blocks.{}.mlp.w2", "down": "blocks.{}.mlp.w3"}
    return plain(**names)(w)


def tiny(name: str, side: int = SIDE) -> Encoder:
    """An encoder of the registry in a small size."""
    import timm

    from mimic_ray.encoders import timm_family, vit_variants

    sizes = {"embed_dim": WIDTH, "depth": DEPTH, "patch_size": PATCH, "img_size": side}
    row = VIT_ENCODERS.get(name)
    if row is not None and row.family == "clip":
        small = {"patch": PATCH, "width": WIDTH, "depth": DEPTH, "heads": 4, "hidden": None}
        if row.settings.get("embedding", EMBEDDING):
            small["embedding"] = EMBEDDING
        return clip_vit.make(name, clip_vit.Tower(**row.settings | small), row.statistics, side)
    settings = dict(row.settings) if row else {"timm_name": TIMM_ALIASES[name]}
    settings |= {"num_classes": 0, "num_heads": 4, **sizes}
    if "timm_name" in settings:
        net = timm.create_model(settings.pop("timm_name"), pretrained=False, **settings)
    else:
        net = getattr(vit_variants, row.family)(**settings)
    return timm_family.encoder(name, net, side, *(row.statistics if row else IMAGENET))


@dataclass(frozen=True)
class Case:
    encoder: str
    vit: Vit
    stored: Callable[[Weights], Weights]
    extra: dict[str, tuple[int, ...]] = field(default_factory=dict)  # other tensors of the file


DINOV2 = Vit(scales=True)
REGISTERS = Vit(scales=True, registers=4)
GATED = Vit(scales=True, registers=4, gated=85)  # int(32 * 2 * 2.66667) // 2
DINOV3 = Vit(scales=True, registers=4, positions=False, key_bias=False, epsilon=1e-5)
DINOV3_GATED = Vit(
    scales=True, registers=4, positions=False, key_bias=False, epsilon=1e-5, gated=128
)
CLIP = Vit(pre_norm=True, projection=True, activation=quick_gelu, epsilon=1e-5)
OPENCLIP = Vit(pre_norm=True, projection=True, epsilon=1e-5)
POOLED = Vit(pre_norm=True, activation=quick_gelu, epsilon=1e-5)
SIGLIP = Vit(tokens=(), pooling="attention", activation=gelu_tanh)
MASKS = {f"blocks.{i}.attn.qkv.bias_mask": (3 * WIDTH,) for i in range(DEPTH)}
TEXT = {"text_model.encoder.layers.0.mlp.fc1.weight": (4, 4), "logit_scale": ()}

CASES = {
    "Hugging Face ViT": Case(
        "vit_s16", Vit(epsilon=1e-12), hf(HF_VIT, "vit."), {"classifier.weight": (10, WIDTH)}
    ),
    "Hugging Face ViT, transformers 5": Case("vit_b16", Vit(), hf(HF_VIT_5, "vit.")),
    "Hugging Face DINOv3, transformers 5": Case("dinov3_b16", DINOV3, hf(HF_DINOV3_5)),
    "Hugging Face DINOv3 plus, transformers 5": Case(
        "dinov3_h16plus", DINOV3_GATED, hf(HF_DINOV3_5)
    ),
    "Hugging Face DeiT": Case(
        "deit_s16_distilled_class", Vit(tokens=("cls", "dist")), hf(HF_VIT, "deit.")
    ),
    "Hugging Face DINOv2": Case(
        "dinov2_s14", DINOV2, hf(HF_DINOV2), {"embeddings.mask_token": (1, WIDTH)}
    ),
    "Hugging Face DINOv2 with registers": Case("dinov2_s14_reg4", REGISTERS, hf(HF_DINOV2)),
    "Hugging Face DINOv2 giant": Case(
        "dinov2_g14_reg4", GATED, gated(HF_DINOV2, f"{LAYER}mlp.weights_out")
    ),
    "Hugging Face DINOv3": Case(
        "dinov3_s16", DINOV3, hf(HF_DINOV3), {"embeddings.mask_token": (1, 1, WIDTH)}
    ),
    "Hugging Face DINOv3 plus": Case("dinov3_s16plus", DINOV3_GATED, hf(HF_DINOV3)),
    "Hugging Face CLIP": Case("clip_vit_l14", CLIP, hf_clip, TEXT),
    "Hugging Face CLIP, plain GELU": Case("openclip_vit_h14", OPENCLIP, hf_clip, TEXT),
    "Hugging Face CLIP tower": Case("clip_vit_b32_unprojected", POOLED, hf_clip),
    "Hugging Face CLIP tower without its module": Case(
        "clip_vit_b32_unprojected", POOLED, lambda w: renamed(w, HF_CLIP)
    ),
    "Hugging Face SigLIP": Case("siglip_b16", SIGLIP, hf_siglip, TEXT),
    "OpenAI CLIP": Case("clip_vit_b32", CLIP, openai, {"transformer.resblocks.0.ln_1.bias": (8,)}),
    "OpenCLIP": Case("openclip_vit_g14", OPENCLIP, openai),
    "DINO": Case("dino_s16", Vit(), plain("backbone."), {"head.mlp.0.weight": (4, WIDTH)}),
    "MoCo v3": Case(
        "moco_vit_s16",
        Vit(),
        plain("module.base_encoder."),
        {"module.base_encoder.head.0.weight": (4, WIDTH)},
    ),
    "MAE with global_pool": Case("mae_b16_mean", Vit(pooling="mean"), plain(norm="fc_norm")),
    "DeiT, distilled": Case(
        "deit_s16_distilled", Vit(tokens=("cls", "dist"), pooling="both"), plain()
    ),
    "DeiT III": Case(
        "deit3_s16",
        Vit(scales=True, class_position=False),
        plain(s1="blocks.{}.gamma_1", s2="blocks.{}.gamma_2"),
    ),
    "DINOv2 with registers": Case(
        "dinov2_s14_reg4", REGISTERS, plain(), {"mask_token": (1, WIDTH)}
    ),
    "DINOv2 in chunks": Case("dinov2_s14", DINOV2, chunks),
    "DINOv2 giant": Case("dinov2_g14_reg4", GATED, gated(facebook(), "blocks.{}.mlp.w3")),
    "DINOv3": Case("dinov3_s16", DINOV3, dinov3, {**MASKS, "rope_embed.periods": (2,)}),
    "DINOv3 plus": Case("dinov3_s16plus", DINOV3_GATED, dinov3),
}


@pytest.mark.parametrize("name", CASES)
def test_features_and_export(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    torch.manual_seed(1)
    weights = case.vit.weights()
    file = case.stored(weights) | {key: torch.randn(shape) for key, shape in case.extra.items()}
    save_file(file, tmp_path / "file.safetensors")
    encoder = tiny(case.encoder).eval()
    found = fit(read_checkpoint(tmp_path / "file.safetensors"), encoder)
    encoder.net.load_state_dict(found.state)

    images = torch.rand(2, 3, SIDE, SIDE)
    with torch.no_grad():
        expected = case.vit.features(weights, (images - encoder.mean) / encoder.std)
        torch.testing.assert_close(encoder(images), expected, rtol=1e-4, atol=1e-4)
        # Not by chance: another file has other features.
        assert (encoder(images) - encoder(images.flip(-1))).abs().max() > 0.01
    assert {*found.left_out} == {*case.extra}

    write_like(tmp_path / "file.safetensors", found, found.state, tmp_path / "same.safetensors")
    same = load_file(tmp_path / "same.safetensors")
    assert same.keys() == file.keys()
    assert all(torch.equal(same[key], file[key]) for key in file)

    # Every weight is written, each to its place.
    changed = {key: value + 1 for key, value in encoder.net.state_dict().items()}
    write_like(tmp_path / "file.safetensors", found, changed, tmp_path / "new.safetensors")
    again = fit(read_checkpoint(tmp_path / "new.safetensors"), encoder)
    assert all(torch.equal(again.state[key], changed[key]) for key in changed)
    untouched = load_file(tmp_path / "new.safetensors")
    assert all(torch.equal(untouched[key], file[key]) for key in case.extra)


@pytest.mark.parametrize("name", ["Hugging Face SigLIP", "DINOv3", "Hugging Face ViT"])
def test_both_copies_of_a_torch_file_in_half_precision_are_written(
    name: str, tmp_path: Path
) -> None:
    case = CASES[name]
    one = {key: value.half() for key, value in case.stored(case.vit.weights()).items()}
    two = {key: value.clone() for key, value in one.items()}
    torch.save({"student": one, "teacher": two, "epoch": 3}, tmp_path / "file.pth")
    encoder = tiny(case.encoder)
    found = fit(read_checkpoint(tmp_path / "file.pth"), encoder)
    assert (found.group, found.also_fits[0].split(",")[0]) == (("teacher",), "student")
    changed = {key: value.half().float() + 1 for key, value in found.state.items()}
    write_like(tmp_path / "file.pth", found, changed, tmp_path / "new.pth", all_copies=True)
    new = torch.load(tmp_path / "new.pth", weights_only=True)
    assert new["epoch"] == 3
    for copy in ("student", "teacher"):
        torch.save(new[copy], tmp_path / "alone.pth")
        again = fit(read_checkpoint(tmp_path / "alone.pth"), encoder).state
        for key, value in changed.items():
            assert torch.equal(again[key], value.half().float()), key
    # The masked bias of the keys is not the encoder's.
    assert name != "DINOv3" or new["student"]["blocks.0.attn.qkv.bias"][WIDTH] == 7


@pytest.mark.parametrize("name", ["Hugging Face SigLIP", "Hugging Face CLIP"])
def test_positions_for_another_size_keep_the_publishers_shape(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    file = case.stored(case.vit.weights())
    save_file(file, tmp_path / "file.safetensors")
    encoder = tiny(case.encoder, side=2 * SIDE)
    encoder.spec = replace(encoder.spec, name=f"{case.encoder}@{2 * SIDE}")
    found = fit(read_checkpoint(tmp_path / "file.safetensors"), encoder)
    encoder.net.load_state_dict(found.state)
    write_like(tmp_path / "file.safetensors", found, found.state, tmp_path / "new.safetensors")
    written = load_file(tmp_path / "new.safetensors")
    table = "vision_model.embeddings.position_embedding.weight"
    rows = len(case.vit.tokens) + (2 * GRID) ** 2
    assert [key for key in file if written[key].shape != file[key].shape] == [table]
    assert written[table].shape == (rows, WIDTH)


def test_moco_v3_with_a_convolutional_stem() -> None:
    """The stem against plain torch; the rest is the transformer of the cases."""
    from mimic_ray.encoders import vit_variants

    net = vit_variants.ConvVit(
        img_size=SIDE, patch_size=16, embed_dim=WIDTH, depth=1, num_heads=4, num_classes=0
    ).eval()
    state = net.state_dict()
    strides = {key: value for key, value in state.items() if key.startswith("patch_embed.proj")}
    assert [strides[f"patch_embed.proj.{n}.weight"].shape[0] for n in (0, 3, 6, 9, 12)] == [
        *(WIDTH // 8, WIDTH // 4, WIDTH // 2, WIDTH, WIDTH)
    ]
    x = images = torch.rand(2, 3, SIDE, SIDE)
    with torch.no_grad():
        for n in (0, 3, 6, 9):
            w = {kind: strides.get(f"patch_embed.proj.{n + 1}.{kind}") for kind in NORM}
            x = F.conv2d(x, strides[f"patch_embed.proj.{n}.weight"], stride=2, padding=1)
            x = F.batch_norm(x, w["running_mean"], w["running_var"], w["weight"], w["bias"]).relu()
        x = F.conv2d(x, strides["patch_embed.proj.12.weight"], strides["patch_embed.proj.12.bias"])
        torch.testing.assert_close(net.patch_embed(images), x.flatten(2).transpose(1, 2))
        assert net(images).shape == (2, WIDTH)


def layout(*keys: str, shape: tuple[int, ...] = (4, 4)) -> Layout:
    infos = {key: TensorInfo(shape, "float32") for key in keys}
    return Layout(Path("suspect.pt"), "0" * 64, "torch-zip", {(): infos}, {})


def test_a_file_with_other_names_is_viewed_as_it_is_alone() -> None:
    assert len(key_views(layout("layer1.0.conv1.weight", "fc.weight"))) == 1


def test_the_publisher_of_an_unknown_size_is_known_by_its_names() -> None:
    found = layout("vision_model.embeddings.class_embedding", "text_model.final_layer_norm.bias")
    assert known_names(found) == ["Hugging Face CLIP"]
    assert known_names(layout("layer1.0.conv1.weight")) == []


def test_two_networks_with_one_publishers_names_are_both_translated() -> None:
    keys = [f"{prefix}.layer.0.layer_scale1.lambda1" for prefix in ("student", "teacher.encoder")]
    keys = [key.replace(".layer.", ".encoder.layer.") for key in keys]
    _, view = key_views(layout(*keys))
    assert [*view.files] == ["student.blocks.0.ls1.gamma", "teacher.encoder.blocks.0.ls1.gamma"]


def test_two_blocks_with_one_number_are_not_one_block() -> None:
    keys = [f"blocks.{chunk}.3.norm1.weight" for chunk in (0, 1)]
    _, view = key_views(layout(*keys))
    assert not [key for key in view.files if key.startswith("blocks.3.")]


def test_a_query_that_cannot_be_joined_with_its_key_is_shown_with_its_own_shape() -> None:
    parts = [f"encoder.layer.0.attention.attention.{part}.weight" for part in ("query", "key")]
    value = "encoder.layer.0.attention.attention.value.weight"
    found = layout(*parts, "encoder.layer.0.layernorm_before.weight")
    found.groups[()][value] = TensorInfo((4, 5), "float32")
    view = key_views(found)[1]
    assert view.info("blocks.0.attn.qkv.weight").shape == (4, 5)
    assert view.shown("", "blocks.0.attn.qkv.weight") == " + ".join([*parts, value])
    assert view.shown("", "blocks.7.mlp.fc1.bias") == "encoder.layer.7.intermediate.dense.bias"
