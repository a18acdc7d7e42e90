"""CLIP's transformer against timm's, whose converter defines the meaning of OpenAI's keys."""

from __future__ import annotations

import torch

from mimic_ray.encoders import clip_vit, encoder_registry
from mimic_ray.encoders.meta_device import meta_device


def as_in_openais_files(net: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {f"visual.{key}": value for key, value in net.state_dict().items()}


def test_every_weight_has_a_counterpart_in_timms_network() -> None:
    import timm
    from timm.models.vision_transformer import checkpoint_filter_fn as vit_from_openai

    with meta_device():
        for ours, theirs in (
            ("clip_vit_b32", "vit_base_patch32_clip_quickgelu_224.openai"),
            ("clip_vit_b16", "vit_base_patch16_clip_quickgelu_224.openai"),
            ("clip_vit_l14", "vit_large_patch14_clip_quickgelu_224.openai"),
            ("clip_vit_l14@336", "vit_large_patch14_clip_quickgelu_336.openai"),
            ("openclip_vit_h14", "vit_huge_patch14_clip_224.laion2b"),
            ("openclip_vit_g14", "vit_giant_patch14_clip_224.laion2b"),
            ("openclip_vit_bigg14", "vit_gigantic_patch14_clip_224.laion2b"),
        ):
            net = timm.create_model(theirs, pretrained=False)
            converted = vit_from_openai(as_in_openais_files(encoder_registry.build(ours).net), net)
            shapes = {key: value.shape for key, value in converted.items()}
            assert shapes == {key: value.shape for key, value in net.state_dict().items()}


def test_it_computes_the_same_as_timms_network() -> None:
    from timm.models.vision_transformer import VisionTransformer
    from timm.models.vision_transformer import checkpoint_filter_fn as vit_from_openai

    torch.manual_seed(0)
    ours = clip_vit.ClipVit(clip_vit.Tower(32, 128, 2, heads=2, embedding=24)).eval()
    theirs = VisionTransformer(
        img_size=224, patch_size=32, embed_dim=128, depth=2, num_heads=2, num_classes=24,
        pre_norm=True, act_layer="quick_gelu", norm_layer=torch.nn.LayerNorm,
    ).eval()  # fmt: skip
    theirs.load_state_dict(vit_from_openai(as_in_openais_files(ours), theirs))
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        embedding, maps = clip_vit.run(ours, images, frozenset({"block0", "block1"}))
        last, expected = theirs.forward_intermediates(images)
        torch.testing.assert_close(embedding, theirs.forward_head(last), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(maps["block0"], expected[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(maps["block1"], expected[1], rtol=1e-4, atol=1e-4)
