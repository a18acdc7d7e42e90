"""Names of the same weights in the files of other publishers: one table a layout.

A path stands for a weight or for a module with all that is below it; `*` is a number. Paths that
are not in a table have the same name in both. `publisher_views.py` applies the tables.

Sources: the models of huggingface/transformers (vit, deit, vit_mae, dinov2, dinov2_with_registers,
dinov3_vit, clip, siglip), facebookresearch/dinov2 and facebookresearch/dinov3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

# Limits the work for a key with a million dots.
_DEPTH = 16

# How a tensor of the file becomes ours.
SAME = "same"
ROW = "row"  # with a leading dimension of length 1
TRANSPOSED = "transposed"


class Stored(NamedTuple):
    """Where a file has a weight of ours."""

    paths: tuple[str, ...]  # joined along the first dimension
    form: str = SAME
    thirds: tuple[int, int] = (0, 3)  # the part of the first dimension: the key of q, k, v is 1, 2


@dataclass(frozen=True, eq=False)
class PublisherKeys:
    """A layout of keys.

    Attributes:
        name: Shown to users.
        sign: A path that only this layout has.
        weights: Our path and theirs.
        unused: Their paths that the computation of features does not read.
    """

    name: str
    sign: str
    weights: Mapping[str, Stored]
    unused: tuple[str, ...] = ()

    def their_name(self, ours: str) -> str:
        """The name of our key, or of the first part of it."""
        for path, rest, number in heads(ours):
            if stored := self.weights.get(path):
                return stored.paths[0].replace("*", number) + rest
        return ours


def heads(key: str) -> Iterator[tuple[str, str, str]]:
    """Each beginning of a key, the longest first, as a path with `*`, with the rest of the key and
    the last number in the beginning."""
    words = key.split(".", _DEPTH)
    paths = [*map(template, words)]
    for end in range(len(words), 0, -1):
        numbers = [word for word, path in zip(words[:end], paths, strict=False) if path == "*"]
        rest = "".join(f".{word}" for word in words[end:])
        yield ".".join(paths[:end]), rest, numbers[-1] if numbers else ""


def template(word: str) -> str:
    """`*` for a number."""
    return "*" if word.isascii() and word.isdigit() else word


def _stored(weights: Mapping[str, str | Stored], below: str = "") -> dict[str, Stored]:
    """The table with simple names as Stored, and all their paths below a module."""
    found = {}
    for ours, theirs in weights.items():
        stored = theirs if isinstance(theirs, Stored) else Stored((theirs,))
        found[ours] = stored._replace(paths=tuple(below + path for path in stored.paths))
    return found


def _joined(module: str, *parts: str) -> Stored:
    return Stored(tuple(module + part for part in parts))


_HF_EMBEDDINGS: dict[str, str | Stored] = {
    "cls_token": "embeddings.cls_token",
    "dist_token": "embeddings.distillation_token",
    "register_tokens": "embeddings.register_tokens",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj": "embeddings.patch_embeddings.projection",
    "norm": "layernorm",
    "blocks.*.attn.qkv": _joined("encoder.layer.*.attention.attention.", "query", "key", "value"),
    "blocks.*.attn.proj": "encoder.layer.*.attention.output.dense",
}
_HF_DINOV2: dict[str, str | Stored] = {
    **_HF_EMBEDDINGS,
    "blocks.*": "encoder.layer.*",  # norm1, norm2, mlp
    "blocks.*.ls1.gamma": "encoder.layer.*.layer_scale1.lambda1",
    "blocks.*.ls2.gamma": "encoder.layer.*.layer_scale2.lambda1",
}
# Of transformers 5, for networks saved by torch; its own files keep the names above.
_HF_VIT_5: dict[str, str | Stored] = {
    "attn.qkv": _joined("attention.", "q_proj", "k_proj", "v_proj"),
    "attn.proj": "attention.o_proj",
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "mlp": "mlp",
}
_HF_DINOV3: dict[str, str | Stored] = {
    "cls_token": "embeddings.cls_token",
    "reg_token": "embeddings.register_tokens",
    "patch_embed.proj": "embeddings.patch_embeddings",
    "blocks.*": "layer.*",  # norm1, norm2
    "blocks.*.attn.qkv": _joined("layer.*.attention.", "q_proj", "k_proj", "v_proj"),
    "blocks.*.attn.q_bias": "layer.*.attention.q_proj.bias",
    "blocks.*.attn.v_bias": "layer.*.attention.v_proj.bias",
    "blocks.*.attn.proj": "layer.*.attention.o_proj",
    "blocks.*.gamma_1": "layer.*.layer_scale1.lambda1",
    "blocks.*.gamma_2": "layer.*.layer_scale2.lambda1",
    "blocks.*.mlp.fc1": "layer.*.mlp.up_proj",
    "blocks.*.mlp.fc2": "layer.*.mlp.down_proj",
}
_DINOV3_BIAS = "blocks.*.attn.qkv.bias"
_HF_CLIP_BLOCKS: dict[str, str | Stored] = {
    "ln_1": "layer_norm1",
    "attn.in_proj_weight": _joined("self_attn.", "q_proj.weight", "k_proj.weight", "v_proj.weight"),
    "attn.in_proj_bias": _joined("self_attn.", "q_proj.bias", "k_proj.bias", "v_proj.bias"),
    "attn.out_proj": "self_attn.out_proj",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
_HF_CLIP: dict[str, str | Stored] = {
    "class_embedding": "embeddings.class_embedding",
    "positional_embedding": "embeddings.position_embedding.weight",
    "conv1": "embeddings.patch_embedding",
    "ln_pre": "pre_layrnorm",
    "ln_post": "post_layernorm",
    **{
        f"transformer.resblocks.*.{ours}": stored
        for ours, stored in _stored(_HF_CLIP_BLOCKS, "encoder.layers.*.").items()
    },
}
_PROJECTION = {"proj": Stored(("visual_projection.weight",), TRANSPOSED)}
_HF_SIGLIP: dict[str, str | Stored] = {
    "patch_embed.proj": "embeddings.patch_embedding",
    "pos_embed": Stored(("embeddings.position_embedding.weight",), ROW),
    "blocks.*.norm1": "encoder.layers.*.layer_norm1",
    "blocks.*.attn.qkv": _joined("encoder.layers.*.self_attn.", "q_proj", "k_proj", "v_proj"),
    "blocks.*.attn.proj": "encoder.layers.*.self_attn.out_proj",
    "blocks.*.norm2": "encoder.layers.*.layer_norm2",
    "blocks.*.mlp": "encoder.layers.*.mlp",
    "norm": "post_layernorm",
    "attn_pool.latent": "head.probe",
    "attn_pool.q.weight": Stored(("head.attention.in_proj_weight",), thirds=(0, 1)),
    "attn_pool.q.bias": Stored(("head.attention.in_proj_bias",), thirds=(0, 1)),
    "attn_pool.kv.weight": Stored(("head.attention.in_proj_weight",), thirds=(1, 3)),
    "attn_pool.kv.bias": Stored(("head.attention.in_proj_bias",), thirds=(1, 3)),
    "attn_pool.proj": "head.attention.out_proj",
    "attn_pool.norm": "head.layernorm",
    "attn_pool.mlp": "head.mlp",
}


def _in_blocks(weights: Mapping[str, Stored]) -> dict[str, Stored]:
    return {f"blocks.*.{ours}": stored for ours, stored in weights.items()}


def _hf_dinov3(weights: Mapping[str, str | Stored], layers: str = "") -> Iterator[PublisherKeys]:
    """With a plain and with a gated MLP; `layers` stands before the blocks."""
    gated = {ours: name for ours, name in weights.items() if ours != "blocks.*.mlp.fc1"}
    gated["blocks.*.mlp.fc1_g"] = f"{layers}layer.*.mlp.gate_proj"
    gated["blocks.*.mlp.fc1_x"] = f"{layers}layer.*.mlp.up_proj"
    for sign, table in (("attention.o_proj", weights), ("mlp.gate_proj", gated)):
        yield PublisherKeys("Hugging Face DINOv3", f"{layers}layer.*.{sign}.weight", _stored(table))


def _below(module: str, name: str | Stored, start: str) -> str | Stored:
    """The name with `module` before it, if it starts so."""
    if isinstance(name, Stored):
        return name._replace(paths=tuple(str(_below(module, path, start)) for path in name.paths))
    return module + name if name.startswith(start) else name


PUBLISHERS = (
    PublisherKeys(
        "Hugging Face ViT",
        "encoder.layer.*.layernorm_before.weight",
        _stored(
            {
                **_HF_EMBEDDINGS,
                "blocks.*.norm1": "encoder.layer.*.layernorm_before",
                "blocks.*.norm2": "encoder.layer.*.layernorm_after",
                "blocks.*.mlp.fc1": "encoder.layer.*.intermediate.dense",
                "blocks.*.mlp.fc2": "encoder.layer.*.output.dense",
            }
        ),
    ),
    PublisherKeys(
        "Hugging Face DINOv2", "encoder.layer.*.layer_scale1.lambda1", _stored(_HF_DINOV2)
    ),
    PublisherKeys(
        "Hugging Face DINOv2",
        "encoder.layer.*.mlp.weights_in.weight",
        _stored(
            {
                **_HF_DINOV2,
                "blocks.*.mlp.fc1": "encoder.layer.*.mlp.weights_in",
                "blocks.*.mlp.fc2": "encoder.layer.*.mlp.weights_out",
            }
        ),
    ),
    PublisherKeys(
        "Hugging Face ViT (transformers 5)",
        "layers.*.layernorm_before.weight",
        _stored(_HF_EMBEDDINGS) | _in_blocks(_stored(_HF_VIT_5, "layers.*.")),
    ),
    *_hf_dinov3(_HF_DINOV3),
    *_hf_dinov3(
        {ours: _below("model.", name, "layer.") for ours, name in _HF_DINOV3.items()}, "model."
    ),
    PublisherKeys(
        "Hugging Face CLIP",
        "vision_model.embeddings.class_embedding",
        _stored(_HF_CLIP, "vision_model.") | _PROJECTION,
    ),
    PublisherKeys(
        "Hugging Face CLIP", "embeddings.class_embedding", _stored(_HF_CLIP) | _PROJECTION
    ),
    PublisherKeys("Hugging Face SigLIP", "head.probe", _stored(_HF_SIGLIP)),
    PublisherKeys(
        "DINOv2 with blocks in chunks",
        "blocks.*.*.norm1.weight",
        _stored(
            {
                "blocks.*": "blocks.*.*",
                "blocks.*.mlp.fc1": "blocks.*.*.mlp.w12",
                "blocks.*.mlp.fc2": "blocks.*.*.mlp.w3",
            }
        ),
    ),
    PublisherKeys(
        "DINOv2",
        "blocks.*.mlp.w12.weight",
        _stored({"blocks.*.mlp.fc1": "blocks.*.mlp.w12", "blocks.*.mlp.fc2": "blocks.*.mlp.w3"}),
    ),
    PublisherKeys(
        "DeiT III",
        "blocks.*.gamma_1",
        _stored({f"blocks.*.ls{n}.gamma": f"blocks.*.gamma_{n}" for n in (1, 2)}),
    ),
    PublisherKeys(
        "DINOv3",
        "storage_tokens",
        _stored(
            {
                "reg_token": "storage_tokens",
                "blocks.*.attn.q_bias": Stored((_DINOV3_BIAS,), thirds=(0, 1)),
                "blocks.*.attn.v_bias": Stored((_DINOV3_BIAS,), thirds=(2, 3)),
                "blocks.*.gamma_1": "blocks.*.ls1.gamma",
                "blocks.*.gamma_2": "blocks.*.ls2.gamma",
                "blocks.*.mlp.fc1_g": "blocks.*.mlp.w1",
                "blocks.*.mlp.fc1_x": "blocks.*.mlp.w2",
                "blocks.*.mlp.fc2": "blocks.*.mlp.w3",
            }
        ),
        unused=("blocks.*.attn.qkv.bias_mask",),
    ),
)
