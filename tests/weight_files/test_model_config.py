"""The config of a model hub is a hint: small, flat, and of no effect if it is damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mimic_ray.weight_files.model_config import config_of, described
from mimic_ray.weight_files.weight_parts import WeightFiles

CLIP = {
    "model_type": "clip",
    "vision_config": {"hidden_size": 768, "num_attention_heads": 12, "hidden_act": "quick_gelu"},
    "architectures": ["CLIPModel"],
    "id2label": {"0": "cat"},
}


def config(folder: Path, content: Any, weights: str = "model.safetensors") -> dict[str, Any]:
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "config.json").write_text(text)
    return config_of(WeightFiles((folder / weights,)))


def test_nested_values_have_dotted_keys(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text('{"image_mean": [0.5, 0.5, 0.5]}')
    found = config(tmp_path, CLIP)
    assert found["model_type"] == "clip"
    assert found["vision_config.num_attention_heads"] == 12
    assert found["image_mean"] == [0.5, 0.5, 0.5]
    assert described(found) == "clip, width 768, 12 heads, quick_gelu"


def test_only_weights_with_a_name_of_a_hub_have_a_config(tmp_path: Path) -> None:
    assert config(tmp_path, CLIP, "model-00001-of-00002.safetensors")
    assert config(tmp_path, CLIP, "pytorch_model.bin")
    assert not config(tmp_path, CLIP, "suspect.pth")
    assert config_of(WeightFiles((tmp_path / "suspect.pth",), tmp_path))


@pytest.mark.parametrize(
    "content",
    ["{", "[]", "3", "[" * 100_000, '{"a":' * 50 + "1" + "}" * 50, '"' + "x" * (2 << 20) + '"'],
    ids=["cut", "list", "number", "deep list", "deep table", "large"],
)
def test_a_config_that_is_none_says_nothing(tmp_path: Path, content: str) -> None:
    assert config(tmp_path, content) == {}
    assert described({}) == ""


def test_a_config_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    assert "\x1b" not in described(config(tmp_path, {"model_type": "\x1b[31m"}))
