"""Classifiers in files: found by shape and name, and applied as they are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mimic_ray.base.errors import NotACheckpointError, UnsafeCheckpointError, UsageError
from mimic_ray.encoders.encoder_registry import build
from mimic_ray.evaluation.file_head import FileHead, find_head, read_head_file
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


def test_the_name_of_a_head_may_begin_with_an_underscore(head_of):
    assert head_of(_fc__weight=torch.randn(4, WIDTH)).key == "_fc"


def test_a_projector_is_not_taken_for_a_classifier(head_of):
    projector = {"projector__0__weight": torch.randn(WIDTH, WIDTH)}
    classifier = {"classifier__weight": torch.randn(5, WIDTH)}
    assert len(head_of(**projector, **classifier).weight) == 5
    with pytest.raises(UsageError, match="no linear classifier"):
        head_of(**projector)


def test_a_head_of_nan_is_refused(head_of):
    with pytest.raises(UsageError, match=f"NaN or infinity in {9 * WIDTH} values"):
        head_of(fc__weight=torch.full((9, WIDTH), torch.nan))


def test_two_heads_are_named_and_none_is_chosen(head_of):
    two = {"head__weight": torch.randn(2, WIDTH), "fc__weight": torch.randn(3, WIDTH)}
    with pytest.raises(UsageError, match=r"2 layers that may be one \((fc, head|head, fc)\)"):
        head_of(**two)


def test_the_first_layer_of_several_is_not_taken_for_the_classifier(head_of):
    layers = {
        "classifier__0__weight": torch.randn(6, WIDTH),
        "classifier__2__weight": torch.randn(3, 6),
    }
    with pytest.raises(UsageError, match=r"classifier\.0 .* is followed by .* classifier\.2"):
        head_of(**layers)


@pytest.fixture
def head_file(tmp_path):
    """The head in a file of its own, for features of the width of tiny_resnet."""

    def read(tensors: Mapping[str, object], name: str = "head.safetensors") -> FileHead:
        path = tmp_path / name
        (save_file if name.endswith(".safetensors") else torch.save)(tensors, path)
        return read_head_file(path).head(WIDTH)

    return read


@pytest.mark.parametrize("name", ["head.safetensors", "head.pth"])
@pytest.mark.parametrize("prefix", ["", "fc.", "module.model.head."])
def test_a_head_is_read_from_a_file_of_its_own(head_file, name, prefix):
    weight, bias = torch.randn(3, WIDTH), torch.randn(3)
    head = head_file({f"{prefix}weight": weight, f"{prefix}bias": bias}, name)
    assert torch.equal(head.weight, weight)
    assert torch.equal(head.bias, bias)
    assert head.described().startswith(f"{prefix.rstrip('.') or 'weight'} in {name} (SHA-256 ")


def test_a_head_is_read_from_a_dictionary_in_a_file(head_file):
    weight = torch.randn(3, WIDTH).half()
    stored = {"epoch": 3, "state_dict": {"linear.weight": weight, "linear.bias": torch.ones(3)}}
    head = head_file(stored, "trained.pth")
    assert torch.equal(head.weight, weight.float())
    assert head.key == "state_dict.linear"


def test_the_head_of_a_whole_network_is_found_by_its_name(head_file):
    network = {"blocks.0.qkv.weight": torch.randn(3 * WIDTH, WIDTH)}
    network |= {"embed.weight": torch.randn(4, 3, 2, 2), "head.weight": torch.randn(3, WIDTH)}
    assert head_file(network).key == "head"


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"conv.weight": torch.ones(3, WIDTH, 1, 1)}, "has no linear classifier"),
        ({"fc.weight": torch.ones(3, WIDTH), "fc.bias": torch.ones(4)}, "has no linear classifier"),
        (
            {"fc.weight": torch.ones(3, WIDTH + 7)},
            rf"for features of width {WIDTH + 7} \(fc\), and .* of width {WIDTH}: ",
        ),
        (
            {"a.weight": torch.ones(3, WIDTH), "b.weight": torch.ones(2, WIDTH)},
            r"has 2 layers that may be the head \((a, b|b, a)\)",
        ),
        (
            {"0.weight": torch.ones(6, WIDTH), "2.weight": torch.ones(3, 6)},
            "The head 0 of .* is followed by another layer, 2: only a head of one linear layer",
        ),
        ({"fc.weight": torch.full((3, WIDTH), torch.nan)}, "has NaN or infinity in"),
    ],
)
def test_a_file_without_one_usable_head_is_refused(head_file, tensors, words):
    with pytest.raises(UsageError, match=words):
        head_file(tensors)


def test_a_file_that_is_no_checkpoint_or_runs_code_is_refused(tmp_path):
    (tmp_path / "head.pth").write_text("weights")
    with pytest.raises(NotACheckpointError, match=r"head\.pth"):
        read_head_file(tmp_path / "head.pth")
    ran = tmp_path / "ran"
    torch.save(_Executes(ran), tmp_path / "evil.pth")
    with pytest.raises(UnsafeCheckpointError, match=r"evil\.pth has no weights"):
        read_head_file(tmp_path / "evil.pth")
    assert not ran.exists()


class _Executes:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))
