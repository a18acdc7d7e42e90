"""The names of Flax become timm's, as timm's own loader of such files has them, and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mimic_ray.weight_files.flax_vit import gathered, heads, pieces, scattered

WIDTH, HEADS, DEPTH, MLP, PATCH, CLASSES = 32, 4, 2, 64, 8, 5
SMALL = {
    "patch_size": PATCH,
    "img_size": 16,
    "embed_dim": WIDTH,
    "depth": DEPTH,
    "num_heads": HEADS,
    "mlp_ratio": MLP / WIDTH,
    "num_classes": CLASSES,
}
Shapes = dict[str, tuple[int, ...]]


def attention(name: str) -> Shapes:
    inner = (HEADS, WIDTH // HEADS)
    found: Shapes = {f"{name}/out/kernel": (*inner, WIDTH), f"{name}/out/bias": (WIDTH,)}
    for part in ("query", "key", "value"):
        found |= {f"{name}/{part}/kernel": (WIDTH, *inner), f"{name}/{part}/bias": inner}
    return found


def mlp(name: str) -> Shapes:
    return {
        f"{name}/Dense_0/kernel": (WIDTH, MLP),
        f"{name}/Dense_0/bias": (MLP,),
        f"{name}/Dense_1/kernel": (MLP, WIDTH),
        f"{name}/Dense_1/bias": (WIDTH,),
    }


def norm(name: str) -> Shapes:
    return {f"{name}/scale": (WIDTH,), f"{name}/bias": (WIDTH,)}


def block(publisher: str) -> Shapes:
    numbers = (0, 1, 2, 3) if publisher == "vision_transformer" else (0, 0, 1, 0)
    first, attended, second, perceptron = numbers
    return (
        norm(f"LayerNorm_{first}")
        | attention(f"MultiHeadDotProductAttention_{attended}")
        | norm(f"LayerNorm_{second}")
        | mlp(f"MlpBlock_{perceptron}")
    )


def shapes(publisher: str) -> Shapes:
    """Of a network in one of the publishers' layouts."""
    found: Shapes = {
        "embedding/kernel": (PATCH, PATCH, 3, WIDTH),
        "embedding/bias": (WIDTH,),
        "head/kernel": (WIDTH, CLASSES),
        "head/bias": (CLASSES,),
    } | norm("Transformer/encoder_norm")
    if publisher == "vision_transformer":
        found |= {"cls": (1, 1, WIDTH), "Transformer/posembed_input/pos_embedding": (1, 5, WIDTH)}
    else:
        found |= {"pos_embedding": (1, 4, WIDTH), "MAPHead_0/probe": (1, 1, WIDTH)}
        for part in (
            attention("MultiHeadDotProductAttention_0"),
            norm("LayerNorm_0"),
            mlp("MlpBlock_0"),
        ):
            found |= {f"MAPHead_0/{key}": shape for key, shape in part.items()}
    if publisher == "scanned":
        for key, shape in block(publisher).items():
            found[f"Transformer/encoderblock/{key}"] = (DEPTH, *shape)
    else:
        for layer in range(DEPTH):
            for key, shape in block(publisher).items():
                found[f"Transformer/encoderblock_{layer}/{key}"] = shape
    root = "" if publisher == "vision_transformer" else "params/img/"
    return {root + key: shape for key, shape in found.items()}


def network(publisher: str) -> torch.nn.Module:
    import timm

    if publisher == "vision_transformer":
        return timm.create_model("vit_base_patch16_224", **SMALL)
    pooled = {"global_pool": "map", "class_token": False}
    return timm.create_model("vit_base_patch16_siglip_224", **SMALL | pooled)


def random_arrays(publisher: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    found = shapes(publisher)
    return {key: rng.normal(size=shape).astype(np.float32) for key, shape in found.items()}


@pytest.mark.parametrize("publisher", ["vision_transformer", "big_vision", "scanned"])
def test_every_name_and_value_is_that_of_timms_own_loader(tmp_path: Path, publisher: str) -> None:
    arrays = random_arrays(publisher)
    np.savez(tmp_path / "net.npz", **arrays)
    net = network(publisher)
    net.load_pretrained(str(tmp_path / "net.npz"))
    expected = net.state_dict()
    found = pieces(arrays)
    if publisher != "vision_transformer":  # timm's network for SigLIP has no head
        found = {key: piece for key, piece in found.items() if not key.startswith("head.")}
        expected = {key: value for key, value in expected.items() if not key.startswith("head.")}
    assert found.keys() == expected.keys()
    for key, piece in found.items():
        assert torch.equal(torch.from_numpy(gathered(arrays, piece).copy()), expected[key]), key
    assert heads(arrays, found) == HEADS


@pytest.mark.parametrize("publisher", ["vision_transformer", "big_vision", "scanned"])
def test_tensors_go_back_to_where_they_came_from(publisher: str) -> None:
    arrays = random_arrays(publisher)
    found = pieces(arrays)
    blank = {key: np.zeros_like(array) for key, array in arrays.items()}
    for piece in found.values():
        scattered(blank, piece, gathered(arrays, piece))
    for key, array in arrays.items():
        assert np.array_equal(blank[key], array), key


def test_positions_of_another_size_go_back_too() -> None:
    arrays = random_arrays("vision_transformer")
    piece = pieces(arrays)["pos_embed"]
    scattered(arrays, piece, np.ones((1, 10, WIDTH), np.float32))
    assert arrays["Transformer/posembed_input/pos_embedding"].shape == (1, 10, WIDTH)


def test_what_is_no_vision_transformer_has_no_pieces() -> None:
    assert pieces({"layer1.0.conv1.weight": np.zeros(3)}) == {}
    text = {"params/txt/Encoder_0/encoderblock_0/LayerNorm_0/scale": np.zeros(3)}
    both = random_arrays("big_vision") | text
    used = {source for piece in pieces(both).values() for source in piece.sources}
    assert used == both.keys() - text.keys()
