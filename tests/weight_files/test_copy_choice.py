"""`--weights KEY` chooses one of several copies of the encoder in a file."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mimic_ray.base.errors import UsageError
from mimic_ray.encoders.encoder_registry import build
from mimic_ray.weight_files.choice import chosen_encoder
from mimic_ray.weight_files.copy_choice import UnknownKeyPathError
from mimic_ray.weight_files.load import load_checkpoint
from tests.weight_files.test_key_match import match, weights

THREE = {
    ("state_dict",): weights(prefix="module.encoder_q.") | weights(prefix="module.encoder_k."),
    ("ema",): weights(),
}


@pytest.mark.parametrize(
    ("wanted", "key_path"),
    [
        ("", "ema"),
        ("ema", "ema"),
        ("state_dict.module.encoder_k", "state_dict.module.encoder_k"),
        ("encoder_k", "state_dict.module.encoder_k"),
        ("module.encoder_q", "state_dict.module.encoder_q"),
    ],
)
def test_a_key_path_or_words_of_it_choose_the_copy(wanted: str, key_path: str) -> None:
    found = match(THREE, f"tiny_resnet:weights={wanted}" if wanted else "tiny_resnet")
    assert found.key_path == key_path
    assert {copy.key_path for copy in found.copies} == {
        *("ema", "state_dict.module.encoder_k", "state_dict.module.encoder_q")
    } - {key_path}


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("encoder", "is not one of"),
        ("state_dict", "matches several of"),
        ("ema.x", "is not one of"),
    ],
)
def test_other_words_are_refused_with_the_key_paths(wanted: str, words: str) -> None:
    with pytest.raises(UnknownKeyPathError) as refused:
        match(THREE, f"tiny_resnet:weights={wanted}")
    assert words in refused.value.message
    assert "ema, state_dict.module.encoder_q, state_dict.module.encoder_k" in refused.value.message


def test_a_copy_at_the_top_is_a_dot() -> None:
    groups = {(): weights(), ("teacher",): weights()}
    assert match(groups).key_path == "teacher"
    assert match(groups, "tiny_resnet:weights=.").prefix == ""
    assert match(groups, "tiny_resnet:weights=.").group == ()


def test_two_names_of_one_memory_are_no_choice() -> None:
    one = {key: replace(each, memory=key) for key, each in weights().items()}
    groups = {("a",): one, ("b",): {f"a.net.{key}": each for key, each in one.items()}}
    assert match(groups, "tiny_resnet:weights=a").key_path == "a"
    assert match(groups, "tiny_resnet:weights=net").key_path == "b.a.net"


def test_only_the_chosen_copy_must_be_finite() -> None:
    broken = {key: replace(each, not_finite=1) for key, each in weights().items()}
    groups = {("teacher",): broken, ("student",): weights()}
    assert match(groups, "tiny_resnet:weights=student").key_path == "student"


@pytest.fixture
def two(tmp_path: Path) -> Path:
    state = build("tiny_resnet").net.state_dict()
    both = {"student": state, "teacher": {key: value + 1 for key, value in state.items()}}
    torch.save(both, tmp_path / "two.pth")
    return tmp_path / "two.pth"


def test_the_weights_are_those_of_the_key_path(two: Path) -> None:
    stored = torch.load(two, weights_only=True)
    for key_path, name in (("teacher", "tiny_resnet"), ("student", "tiny_resnet:weights=student")):
        loaded = load_checkpoint(two, name)
        assert loaded.encoder.spec.name == name
        assert torch.equal(loaded.encoder.net.conv1.weight, stored[key_path]["conv1.weight"])


def test_without_a_name_the_encoder_that_fits_there_is_taken(two: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert chosen_encoder(two, ":weights=student") == "tiny_resnet:weights=student"
        with pytest.raises(UsageError, match=r"weights=ema.* is not one of .*teacher, student"):
            chosen_encoder(two, ":weights=ema")
