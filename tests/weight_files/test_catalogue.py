"""The list of encoders."""

from __future__ import annotations

import pytest
from torch import nn

from mimic_ray.base.errors import UnknownNameError
from mimic_ray.encoders.encoder_registry import build, names
from mimic_ray.weight_files.catalogue import catalogue


def test_every_encoder_is_listed_with_its_publishers():
    found = catalogue()
    assert [entry.name for entry in found] == names()
    assert all(entry.publishers for entry in found)


@pytest.mark.parametrize("name", ["tiny_vit", "cifar_resnet20"])
def test_an_entry_has_the_facts_of_the_encoder(name):
    (entry,) = (entry for entry in catalogue(name) if entry.name == name)
    encoder = build(name)
    net: nn.Module = encoder.net
    assert entry.parameters == sum(parameter.numel() for parameter in net.parameters())
    assert (entry.mean, entry.std) == (encoder.spec.mean, encoder.spec.std)
    assert entry.normalisation == "imagenet"
    assert (entry.input_size, entry.feature_width) == (32, encoder.spec.feature_width)


def test_the_network_in_words():
    (entry,) = catalogue("tiny_vit")
    assert entry.network() == "2 heads, GELU, class token"


def test_a_pattern_is_a_wildcard_or_a_part_of_a_name_or_publisher():
    assert {entry.name for entry in catalogue("tiny_*")} == {"tiny_resnet", "tiny_vit"}
    assert {entry.name for entry in catalogue("BadEncoder")} >= {"simclr_resnet18"}
    assert catalogue("NY_VI") == catalogue("tiny_vit")


@pytest.mark.parametrize("pattern", ["nothing", "[", "tiny_restnet"])
def test_a_pattern_without_a_match_is_refused(pattern):
    with pytest.raises(UnknownNameError, match="timm") as refused:
        catalogue(pattern)
    assert ("tiny_resnet" in refused.value.near) == (pattern == "tiny_restnet")
