"""The key names of publishers for the parts of published_vit.Vit; `{}` is the number of a block."""

from __future__ import annotations

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
