"""CLIP's ResNet against timm's, whose converter defines the meaning of OpenAI's keys."""

from __future__ import annotations

import torch

from mimic_ray.encoders import clip_resnet


def test_it_computes_the_same_as_timms_network() -> None:
    import timm
    from timm.models.byobnet import checkpoint_filter_fn as resnet_from_openai

    torch.manual_seed(0)
    ours = clip_resnet.ClipResnet().eval()
    theirs = timm.create_model("resnet50_clip.openai", pretrained=False).eval()
    theirs.load_state_dict(
        resnet_from_openai(
            {f"visual.{key}": value for key, value in ours.state_dict().items()}, theirs
        )
    )
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        embedding, maps = clip_resnet.run(ours, images, frozenset({"layer1", "layer4"}))
        last, expected = theirs.forward_intermediates(images)
        torch.testing.assert_close(embedding, theirs.forward_head(last), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(maps["layer1"], expected[1], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(maps["layer4"], expected[4], rtol=1e-3, atol=1e-4)
