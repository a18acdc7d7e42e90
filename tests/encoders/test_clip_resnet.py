"""CLIP's ResNet against timm's, whose own converter states what OpenAI's keys mean."""

from __future__ import annotations

import torch

from mimic_ray.encoders import clip_resnet


def test_rn50_computes_what_timms_does() -> None:
    import timm
    from timm.models.byobnet import checkpoint_filter_fn as resnet_from_openai

    torch.manual_seed(0)
    ours = clip_resnet.ClipResnet().eval()
    theirs = timm.create_model("resnet50_clip.openai", pretrained=False).eval()
    state = {f"visual.{key}": value for key, value in ours.state_dict().items()}
    theirs.load_state_dict(resnet_from_openai(state, theirs))
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        embedding, maps = clip_resnet.run(ours, images, frozenset({"layer1", "layer4"}))
        last, wanted = theirs.forward_intermediates(images)
        torch.testing.assert_close(embedding, theirs.forward_head(last), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(maps["layer1"], wanted[1], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(maps["layer4"], wanted[4], rtol=1e-3, atol=1e-4)
