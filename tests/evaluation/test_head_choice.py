"""The text that chooses a head: a kind, or a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from mimic_ray.evaluation.head_choice import OWN, head_label, is_head_file
from mimic_ray.evaluation.heads import HEADS


def test_the_name_of_a_kind_is_not_a_file():
    for name in (*HEADS, OWN, "mpl"):
        assert not is_head_file(name)
        assert head_label(name) == name


@pytest.mark.parametrize(
    ("head", "label"),
    [
        ("head.pth", "head.pth"),
        ("./linear", "linear"),
        (Path("mlp"), "mlp"),
        ("/models/fc.safetensors", "fc.safetensors"),
        ("s3://bucket/a/head.pt?endpoint_override=http://h", "head.pt"),
        ("hf://owner/model", "model"),
    ],
)
def test_a_file_is_named_after_its_last_part(head, label):
    assert is_head_file(head)
    assert head_label(head) == label
