"""Finding the encoder of a file by names, shapes and types of its tensors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mimic_ray.base.errors import DamagedCheckpointError, WrongEncoderError
from mimic_ray.weight_files.key_match import fitting_encoders, require_match
from mimic_ray.weight_files.known_layouts import known_layouts
from mimic_ray.weight_files.layout import Group, Layout
from mimic_ray.weight_files.located_weights import KeyMatch
from mimic_ray.weight_files.tensor_info import TensorInfo


def info(*shape: int, dtype: str = "float32") -> TensorInfo:
    return TensorInfo(shape, dtype)


def weights(name: str = "tiny_resnet", prefix: str = "") -> dict[str, TensorInfo]:
    return {prefix + key: found for key, found in known_layouts()[name].tensors.items()}


def layout(groups: dict[Group, dict[str, TensorInfo]]) -> Layout:
    return Layout(Path("suspect.pt"), "0" * 64, "torch-zip", groups, {})


def match(groups: dict[Group, dict[str, TensorInfo]], name: str = "tiny_resnet") -> KeyMatch:
    known = known_layouts()[name.partition(":")[0]]
    return require_match(layout(groups), name, known.side, known.tensors)


def test_badencoders_file_fits_its_simclr_resnet() -> None:
    projector = {"g.0.weight": info(512, 512), "g.1.weight": info(512)}
    groups = {("state_dict",): weights("simclr_resnet18", "f.") | projector}
    found, on_stl10 = fitting_encoders(layout(groups))
    assert (found.encoder, found.prefix) == ("simclr_resnet18", "f.")
    assert (on_stl10.encoder, on_stl10.also_fits) == ("badencoder_stl10", [])
    assert found.keys["f.0.weight"] == "f.f.0.weight"
    assert found.left_out == list(projector)


def test_the_image_tower_of_clip_fits_and_its_text_tower_is_not_used() -> None:
    text = {"token_embedding.weight": info(9, 2), "logit_scale": info()}
    half = {
        key: info(*tensor.shape, dtype="float16")
        for key, tensor in weights("clip_rn50", "visual.").items()
    }
    (found,) = fitting_encoders(layout({(): half | text}))
    assert (found.encoder, found.prefix) == ("clip_rn50", "visual.")
    assert found.left_out == list(text)


@pytest.mark.parametrize(
    ("name", "classifier"),
    [("convnext_tiny", "head.fc"), ("torchvision_convnext_tiny", "classifier.2")],
)
def test_a_classifier_may_be_beside_a_norm_of_the_encoder(name: str, classifier: str) -> None:
    head = {f"{classifier}.weight": info(10, 768), f"{classifier}.bias": info(10)}
    (found,) = fitting_encoders(layout({(): weights(name) | head}))
    assert (found.encoder, found.left_out) == (name, [*head])


@pytest.mark.parametrize("name", ["cifar_resnet32", "resnet34", "vit_b_16", "tiny_vit"])
def test_the_encoder_that_wrote_a_file_is_among_those_that_fit(name: str) -> None:
    fits = fitting_encoders(layout({("model",): weights(name)}))
    assert name in {found.encoder for found in fits}
    deeper = {"cifar_resnet20", "cifar_resnet44", "resnet18", "resnet50", "vit_l_16"}
    assert not deeper & {found.encoder for found in fits}


@pytest.mark.parametrize(
    ("smaller", "larger"), [("resnet18", "resnet34"), ("cifar_resnet20", "cifar_resnet32")]
)
def test_a_deeper_network_with_all_our_keys_does_not_fit(smaller: str, larger: str) -> None:
    assert weights(smaller).keys() < weights(larger).keys()
    with pytest.raises(WrongEncoderError, match=f"but not in {smaller}.*use encoder={larger}"):
        match({(): weights(larger)}, smaller)


def test_unused_integer_tensors_are_ignored() -> None:
    extra = {"layer1.relative_position_index": info(4, dtype="int64")}
    assert match({(): weights() | extra}, "tiny_resnet").left_out == [*extra]


@pytest.mark.parametrize(
    ("groups", "chosen", "other"),
    [
        ({("student",): "", ("teacher",): ""}, ("teacher", ""), "student"),
        ({("state_dict",): "", ("state_dict_ema",): ""}, ("state_dict_ema", ""), "state_dict"),
        (
            {("state_dict",): ["module.encoder_k.", "module.encoder_q."]},
            ("state_dict", "module.encoder_q."),
            "state_dict, keys module.encoder_k.*",
        ),
        (
            {("model",): ["target_encoder.net.", "online_encoder.net."]},
            ("model", "online_encoder.net."),
            "model, keys target_encoder.net.*",
        ),
    ],
)
def test_one_of_two_copies_is_chosen_and_the_other_is_named(
    groups: dict[Group, str | list[str]], chosen: tuple[str, str], other: str
) -> None:
    files = {}
    for group, prefixes in groups.items():
        files[group] = {
            key: tensor
            for prefix in ([prefixes] if isinstance(prefixes, str) else prefixes)
            for key, tensor in weights(prefix=prefix).items()
        }
    found = match(files, "tiny_resnet")
    assert (found.group[0], found.prefix) == chosen
    assert found.also_fits == [other]


def test_the_error_names_both_shapes_and_an_encoder_that_fits() -> None:
    other = weights("simclr_resnet18", "module.")
    other["module.f.0.weight"] = info(64, 3, 7, 7)
    with pytest.raises(WrongEncoderError) as caught:
        match({(): other}, "simclr_resnet18")
    assert (
        'suspect.pt does not fit simclr_resnet18: "module.f.0.weight" is [64, 3, 7, 7], '
        "expected [64, 3, 3, 3]." in caught.value.message
    )
    with pytest.raises(WrongEncoderError, match=r"Every key fits tiny_resnet: use encoder="):
        match({(): weights()}, "cifar_resnet20")


def test_unknown_keys_are_shown_together_with_the_expected_ones() -> None:
    foreign = {"wte.weight": info(2), "h\x1b[2J": info(2)}
    with pytest.raises(WrongEncoderError) as caught:
        match({(): foreign}, "tiny_resnet")
    assert '"wte.weight", "h\\x1b[2J" ..., expected "conv1.weight"' in caught.value.message
    assert "file.py:function" in caught.value.message


def test_a_single_missing_key_is_refused() -> None:
    almost = weights()
    del almost["layer3.0.bn2.bias"]
    with pytest.raises(WrongEncoderError, match=r'"layer3\.0\.bn2\.bias" is missing\.'):
        match({(): almost}, "tiny_resnet")


def test_integer_weights_are_refused() -> None:
    raw = weights() | {"bn1.bias": info(8, dtype="int8")}
    with pytest.raises(WrongEncoderError, match=r'"bn1\.bias" is int8'):
        match({(): raw}, "tiny_resnet")


def test_names_of_one_memory_are_one_copy() -> None:
    net = {key: replace(each, memory=key) for key, each in weights().items()}
    file = {prefix + key: each for prefix in ("net.", "online.net.") for key, each in net.items()}
    found = match({(): {**file, **weights(prefix="target.net.")}}, "tiny_resnet")
    assert found.prefix == "net."
    assert found.tied == ["the top level of the file, keys online.net.*"]
    assert found.also_fits == ["the top level of the file, keys target.net.*"]
    assert [(copy.prefix, len(copy.keys)) for copy in found.copies] == [("target.net.", len(net))]
    assert set(found.left_out) == weights(prefix="target.net.").keys()


def test_only_the_weights_of_the_encoder_must_be_finite() -> None:
    bad = info(8)
    file = weights() | {"head.bias": replace(bad, not_finite=3), "layer1.total_ops": info(1)}
    assert match({(): file}, "tiny_resnet").left_out == ["head.bias", "layer1.total_ops"]
    file["bn1.bias"] = replace(file["bn1.bias"], not_finite=2)
    with pytest.raises(DamagedCheckpointError, match=r'"bn1\.bias" has NaN or infinity in 2 of 8'):
        match({(): file}, "tiny_resnet")


@pytest.mark.parametrize("key", ["bn1.bias", "bn1.num_batches_tracked"])
def test_weights_that_are_not_dense_are_refused(key: str) -> None:
    file = weights()
    file[key] = replace(file[key], dtype=f"sparse {file[key].dtype}")
    with pytest.raises(WrongEncoderError, match=rf'"{key}" is sparse'):
        match({(): file}, "tiny_resnet")
