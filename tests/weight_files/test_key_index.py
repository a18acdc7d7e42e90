"""Keys with the words of wrappers, which stand anywhere in them."""

from __future__ import annotations

import pytest

from mimic_ray.weight_files.publisher_views import key_views
from mimic_ray.weight_files.tensor_info import TensorInfo
from tests.weight_files.test_key_match import layout, match, weights


def wrapped(key: str) -> str:
    """Compiled as a whole, FSDP around each layer, checkpointed blocks."""
    parts = key.split(".")
    if parts[0].startswith("layer"):
        parts[1:1] = ["_fsdp_wrapped_module"]
        parts[3:3] = ["_checkpoint_wrapped_module", "module"]
    return ".".join(["_orig_mod", "encoder", *parts])


def test_wrappers_inside_of_keys_are_passed_over_and_the_files_keys_are_kept() -> None:
    file = {wrapped(key): tensor for key, tensor in weights().items()}
    file["_orig_mod.encoder.fc.weight"] = TensorInfo((10, 32), "float32")
    found = match({("model",): file})
    assert found.prefix == "encoder."
    assert found.keys == {key: wrapped(key) for key in weights()}
    assert found.left_out == ["_orig_mod.encoder.fc.weight"]
    assert found.also_fits == []


def test_a_copy_with_and_one_without_wrappers_are_two() -> None:
    file = {wrapped(key): tensor for key, tensor in weights().items()}
    found = match({("model",): file | weights(prefix="ema.")})
    assert (found.prefix, found.also_fits) == ("ema.", ["model, keys encoder.*"])


def test_keys_that_differ_in_wrappers_alone_are_not_mixed() -> None:
    file = weights(prefix="module.") | weights()
    (view,) = key_views(layout({(): file}))
    assert view.files.keys() == file.keys()
    assert match({(): file}).also_fits == ["the top level of the file, keys module.*"]


@pytest.mark.parametrize("key", ["conv1.weight", "layer1.0.conv1.weight", "weight"])
def test_prefixes_are_those_of_whole_parts(key: str) -> None:
    tensor = TensorInfo((1,), "float32")
    file = dict.fromkeys((key, f"a.{key}", f"b.c.{key}", f"x{key}", f"{key}.d"), tensor)
    (view,) = key_views(layout({(): file}))
    assert sorted(view.prefixes(key)) == ["", "a.", "b.c."]
