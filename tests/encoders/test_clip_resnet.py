"""CLIP's ResNets against timm's, whose converter defines the meaning of OpenAI's keys."""

from __future__ import annotations

import pytest
import torch

from mimic_ray.encoders import conv_net, encoder_registry


@pytest.mark.parametrize(
    ("name", "of_timm"),
    [
        ("clip_rn50", "resnet50_clip"),
        pytest.param("clip_rn101", "resnet101_clip", marks=pytest.mark.slow),
        pytest.param("clip_rn50x4", "resnet50x4_clip", marks=pytest.mark.slow),
        pytest.param("clip_rn50x16", "resnet50x16_clip", marks=pytest.mark.slow),
    ],
)
def test_it_computes_the_same_as_timms_network(name: str, of_timm: str) -> None:
    import timm
    from timm.models.byobnet import checkpoint_filter_fn as resnet_from_openai

    torch.manual_seed(0)
    ours = encoder_registry.build(name).net.eval()
    theirs = timm.create_model(f"{of_timm}.openai", pretrained=False).eval()
    theirs.load_state_dict(
        resnet_from_openai(
            {f"visual.{key}": value for key, value in ours.state_dict().items()}, theirs
        )
    )
    side = encoder_registry.input_size(name)
    images = torch.randn(1, 3, side, side)
    with torch.no_grad():
        embedding, maps = conv_net.run(ours, images, frozenset({"layer1", "layer4"}))
        last, expected = theirs.forward_intermediates(images)
        torch.testing.assert_close(embedding, theirs.forward_head(last), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(maps["layer1"], expected[1], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(maps["layer4"], expected[4], rtol=1e-3, atol=1e-4)
