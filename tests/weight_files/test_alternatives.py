"""Encoders of one file, by what their weights do not determine."""

from __future__ import annotations

from pathlib import Path

from mimic_ray.encoders.encoder_registry import build
from mimic_ray.weight_files.alternatives import (
    alternatives,
    decisive,
    differing,
    facts_of,
    facts_of_spec,
    listed,
)
from mimic_ray.weight_files.key_match import fitting_encoders
from mimic_ray.weight_files.known_layouts import known_layouts
from mimic_ray.weight_files.layout import Layout
from mimic_ray.weight_files.tensor_info import TensorInfos


def layout(groups: dict[tuple[str, ...], TensorInfos]) -> Layout:
    return Layout(Path("suspect.pt"), "0" * 64, "torch-zip", groups, {})


def test_encoders_with_the_same_facts_are_one_and_googles_statistics_come_last():
    found = alternatives(fitting_encoders(layout({(): known_layouts()["vit_s16"].tensors})))
    assert {"deit_s16", "dino_s16"} <= {*found[0].names}
    assert found[-1].names == ("vit_s16",)
    assert "mean and std" in differing(found)
    assert "(mean and std imagenet" in listed(found)
    assert "vit_s16 (mean and std half" in listed(found)


def test_stated_statistics_leave_only_what_else_differs():
    matches = fitting_encoders(layout({(): known_layouts()["vit_s16"].tensors}))
    found = alternatives(matches, ":normalise=none")
    assert "mean and std" not in differing(found)
    assert all(name.endswith(":normalise=none") for each in found for name in each.names)


def test_two_networks_in_one_file_differ_in_their_location():
    groups = {(name,): known_layouts()[name].tensors for name in ("resnet18", "cifar_resnet20")}
    found = alternatives(fitting_encoders(layout(groups)))
    assert "in" in differing(found)
    assert "in cifar_resnet20" in listed(found)


def test_facts_of_a_name_are_those_of_the_encoder_that_is_built():
    for name in ("tiny_vit", "tiny_resnet@48:mean=0.1/0.2/0.3,std=1"):
        assert facts_of(name) == facts_of_spec(build(name).spec)
    facts = facts_of("tiny_vit")
    assert (facts["heads"], facts["mean and std"], facts["image side"]) == ("2", "imagenet", "32")
    assert "image side" not in decisive(facts)
