from __future__ import annotations

import pytest

from mimic_ray.base.errors import UnknownNameError, UsageError
from mimic_ray.encoders.encoder import Spec
from mimic_ray.encoders.taps import chosen_taps


def spec(*taps: str) -> Spec:
    return Spec("net", 8, 32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), taps)


BLOCKS = spec(*(f"block{index}" for index in range(12)))
LAYERS = spec("layer1", "layer2", "layer3", "layer4")


@pytest.mark.parametrize(
    ("patterns", "chosen"),
    [
        (["layer3"], ("layer3",)),
        (["layer4", "layer2", "layer4"], ("layer2", "layer4")),
        (["layer*"], LAYERS.taps),
        (["layer[34]", "layer1"], ("layer1", "layer3", "layer4")),
        ([], ()),
    ],
)
def test_taps_are_in_the_order_of_the_network_and_unique(patterns, chosen) -> None:
    assert chosen_taps(LAYERS, patterns) == chosen


def test_a_pattern_selects_several_taps() -> None:
    assert chosen_taps(BLOCKS, ["block1*"]) == ("block1", "block10", "block11")
    assert chosen_taps(BLOCKS, ["block?"]) == BLOCKS.taps[:10]


def test_a_tap_of_another_family_is_refused_with_a_list_of_taps() -> None:
    with pytest.raises(UnknownNameError) as caught:
        chosen_taps(BLOCKS, ["block3", "layer3"])
    assert isinstance(caught.value, UsageError)
    assert str(caught.value) == (
        'There is no tap of net "layer3". Its taps are block0, block1, ..., block11; patterns '
        "such as block* work."
    )


def test_a_misspelt_tap_raises_an_error_with_near_names() -> None:
    with pytest.raises(UnknownNameError) as caught:
        chosen_taps(LAYERS, ["layer_4"])
    assert "layer4" in caught.value.near


def test_a_wrong_pattern_among_right_ones_is_refused() -> None:
    with pytest.raises(UnknownNameError, match=r'tap of net "stage\*"'):
        chosen_taps(LAYERS, ["layer*", "stage*"])
