"""The classifier beside an encoder in its file: found by shape and name, and applied as it is."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from mimic_ray.base.errors import UsageError
from mimic_ray.encoders.encoder_registry import build
from mimic_ray.evaluation.file_head import FileHead, find_head
from mimic_ray.weight_files.load import load_checkpoint


@pytest.fixture
def head_of(tmp_path):
    """The head in a file of tiny_resnet with more tensors."""

    def find(**more: torch.Tensor) -> FileHead:
        encoder = build("tiny_resnet")
        named = {key.replace("__", "."): value for key, value in more.items()}
        path = tmp_path / "file.safetensors"
        save_file({**encoder.net.state_dict(), **named}, path)
        loaded = load_checkpoint(path, "tiny_resnet")
        return find_head(loaded.checkpoint, loaded.fit, encoder.spec.feature_width)

    return find


WIDTH = build("tiny_resnet").spec.feature_width


def test_it_is_applied_to_features_as_they_are(head_of):
    weight, bias = torch.randn(3, WIDTH), torch.randn(3)
    head = head_of(fc__weight=weight, fc__bias=bias)
    features = 7 * torch.randn(50, WIDTH)
    assert head.key == "fc"
    assert torch.equal(head.predict(features), (features @ weight.T + bias).argmax(dim=1))


def test_a_head_without_bias_has_a_bias_of_zero(head_of):
    assert torch.equal(head_of(linear__weight=torch.randn(4, WIDTH)).bias, torch.zeros(4))


def test_a_projector_is_not_taken_for_a_classifier(head_of):
    projector = {"projector__0__weight": torch.randn(WIDTH, WIDTH)}
    classifier = {"classifier__weight": torch.randn(5, WIDTH)}
    assert len(head_of(**projector, **classifier).weight) == 5
    with pytest.raises(UsageError, match="no linear classifier"):
        head_of(**projector)


def test_two_heads_are_named_and_none_is_chosen(head_of):
    two = {"head__weight": torch.randn(2, WIDTH), "fc__weight": torch.randn(3, WIDTH)}
    with pytest.raises(UsageError, match=r"2 layers that may be one \((fc, head|head, fc)\)"):
        head_of(**two)
