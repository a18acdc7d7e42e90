from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mimic_ray.base.errors import WrongEncoderError
from mimic_ray.encoders import encoder_registry
from mimic_ray.encoders.checkpoint.read import Checkpoint, read_checkpoint
from mimic_ray.encoders.checkpoint.resolve import fit, fitting_encoders

Group = tuple[str, ...]


def weights(name: str = "tiny_resnet", prefix: str = "", value: float = 0.5) -> dict[str, Tensor]:
    """A state dict of the encoder's shapes, every number the same."""
    with torch.device("meta"):
        state = encoder_registry.build(name).net.state_dict()
    return {
        prefix + key: torch.full(tensor.shape, value).to(tensor.dtype)
        for key, tensor in state.items()
    }


def checkpoint(groups: Mapping[Group, dict[str, Tensor]]) -> Checkpoint:
    return Checkpoint(Path("suspect.pt"), "0" * 64, "torch-zip", dict(groups), {})


HEAD = {"linear.weight": torch.zeros(10, 32), "linear.bias": torch.zeros(10)}


@pytest.mark.parametrize("group", [(), ("state_dict",), ("model", "net"), ("my own words",)])
@pytest.mark.parametrize(
    "prefix",
    ["", "module.", "encoder.", "backbone.", "visual.", "f.", "module.encoder_q.", "a.b.c.d.e."],
)
def test_weights_are_found_in_any_group_under_any_prefix(group: Group, prefix: str) -> None:
    head = {prefix + key: tensor for key, tensor in HEAD.items()}
    projector = {"g.0.weight": torch.zeros(2, 2)}
    found = fit(
        checkpoint({group: weights(prefix=prefix) | head | projector}),
        encoder_registry.build("tiny_resnet"),
    )
    assert (found.encoder, found.group, found.prefix) == ("tiny_resnet", group, prefix)
    assert found.left_out == [*head, *projector]
    assert found.keys == {key: prefix + key for key in weights()}
    assert found.also_fits == []
    encoder_registry.build("tiny_resnet").net.load_state_dict(found.state, strict=True)


def test_badencoders_file_fits_its_simclr_resnet() -> None:
    projector = {"g.0.weight": torch.zeros(512, 512), "g.1.weight": torch.zeros(512)}
    groups = {("state_dict",): weights("simclr_resnet18", "f.") | projector}
    (found,) = fitting_encoders(checkpoint(groups))
    assert (found.encoder, found.prefix) == ("simclr_resnet18", "f.")
    assert found.keys["f.0.weight"] == "f.f.0.weight"
    assert found.left_out == list(projector)


def test_clips_image_tower_fits_and_its_text_tower_is_left_out() -> None:
    text = {"token_embedding.weight": torch.zeros(9, 2), "logit_scale": torch.tensor(1.0)}
    half = {key: tensor.half() for key, tensor in weights("clip_rn50", "visual.").items()}
    (found,) = fitting_encoders(checkpoint({(): half | text}))
    assert (found.encoder, found.prefix) == ("clip_rn50", "visual.")
    assert found.left_out == list(text)


@pytest.mark.parametrize("name", ["cifar_resnet32", "resnet34", "vit_b_16", "tiny_vit"])
def test_the_encoder_that_wrote_a_file_is_among_those_that_fit(name: str) -> None:
    fits = fitting_encoders(checkpoint({("model",): weights(name)}))
    assert name in {found.encoder for found in fits}
    deeper = {"cifar_resnet20", "cifar_resnet44", "resnet18", "resnet50", "vit_l_16"}
    assert not deeper & {found.encoder for found in fits}


@pytest.mark.parametrize(
    ("smaller", "larger"), [("resnet18", "resnet34"), ("cifar_resnet20", "cifar_resnet32")]
)
def test_a_deeper_network_with_all_our_keys_does_not_fit(smaller: str, larger: str) -> None:
    assert weights(smaller).keys() < weights(larger).keys()
    with pytest.raises(WrongEncoderError, match=f"but not in {smaller}.*use --encoder {larger}"):
        fit(checkpoint({(): weights(larger)}), encoder_registry.build(smaller))


def test_half_precision_comes_out_as_float32() -> None:
    half = {key: tensor.half() for key, tensor in weights().items()}
    state = fit(checkpoint({(): half}), encoder_registry.build("tiny_resnet")).state
    expected = weights()
    assert {key: tensor.dtype for key, tensor in state.items()} == {
        key: tensor.dtype for key, tensor in expected.items()
    }
    assert all(torch.equal(state[key], expected[key]) for key in expected if "batches" not in key)


def test_old_files_without_batch_counts_fit() -> None:
    old = {key: tensor for key, tensor in weights().items() if "num_batches" not in key}
    found = fit(checkpoint({(): old}), encoder_registry.build("tiny_resnet"))
    assert found.keys.keys() == old.keys()
    assert found.state["bn1.num_batches_tracked"] == 0


def test_left_over_indices_are_no_weights() -> None:
    extra = {"layer1.relative_position_index": torch.zeros(4, dtype=torch.int64)}
    assert fit(
        checkpoint({(): weights() | extra}), encoder_registry.build("tiny_resnet")
    ).left_out == [*extra]


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
def test_of_two_copies_the_stated_one_is_taken_and_the_other_named(
    groups: dict[Group, str | list[str]], chosen: tuple[str, str], other: str
) -> None:
    held = {}
    for group, prefixes in groups.items():
        held[group] = {
            key: tensor
            for prefix in ([prefixes] if isinstance(prefixes, str) else prefixes)
            for key, tensor in weights(prefix=prefix).items()
        }
    found = fit(checkpoint(held), encoder_registry.build("tiny_resnet"))
    assert (found.group[0], found.prefix) == chosen
    assert found.also_fits == [other]


def test_what_does_not_fit_is_named_with_both_shapes_and_what_would() -> None:
    other = weights("simclr_resnet18", "module.")
    other["module.f.0.weight"] = torch.zeros(64, 3, 7, 7)
    with pytest.raises(WrongEncoderError) as caught:
        fit(checkpoint({(): other}), encoder_registry.build("simclr_resnet18"))
    assert (
        'suspect.pt does not fit simclr_resnet18: "module.f.0.weight" is [64, 3, 7, 7], '
        "wanted [64, 3, 3, 3]." in caught.value.message
    )
    with pytest.raises(WrongEncoderError, match=r"Every key fits tiny_resnet: use --encoder"):
        fit(checkpoint({(): weights()}), encoder_registry.build("cifar_resnet20"))


def test_keys_of_another_world_are_shown_beside_ours() -> None:
    foreign = {"wte.weight": torch.zeros(2), "h\x1b[2J": torch.zeros(2)}
    with pytest.raises(WrongEncoderError) as caught:
        fit(checkpoint({(): foreign}), encoder_registry.build("tiny_resnet"))
    assert '"wte.weight", "h\\x1b[2J" ..., wanted "conv1.weight"' in caught.value.message
    assert "file.py:function" in caught.value.message


def test_one_missing_key_is_enough_to_refuse() -> None:
    almost = weights()
    del almost["layer3.0.bn2.bias"]
    with pytest.raises(WrongEncoderError, match=r'"layer3\.0\.bn2\.bias" is missing\.'):
        fit(checkpoint({(): almost}), encoder_registry.build("tiny_resnet"))


def test_integers_are_no_weights() -> None:
    raw = weights() | {"bn1.bias": torch.zeros(8, dtype=torch.int8)}
    with pytest.raises(WrongEncoderError, match=r'"bn1\.bias" is torch\.int8'):
        fit(checkpoint({(): raw}), encoder_registry.build("tiny_resnet"))


@pytest.mark.data
@pytest.mark.parametrize("depth", [20, 32, 56])
def test_third_party_weights_fit_their_encoder_alone(shared_data: Path, depth: int) -> None:
    read = read_checkpoint(shared_data / "assets" / f"resnet{depth}-cifar10.th")
    (found,) = fitting_encoders(read)
    assert found.encoder == f"cifar_resnet{depth}"
    assert (found.group, found.prefix) == (("state_dict",), "module.")
    assert found.left_out == ["module.linear.weight", "module.linear.bias"]
