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
    ("wanted", "chosen"),
    [
        (["layer3"], ("layer3",)),
        (["layer4", "layer2", "layer4"], ("layer2", "layer4")),
        (["layer*"], LAYERS.taps),
        (["layer[34]", "layer1"], ("layer1", "layer3", "layer4")),
        ([], ()),
    ],
)
def test_taps_come_in_the_order_of_the_network_each_once(wanted, chosen) -> None:
    assert chosen_taps(LAYERS, wanted) == chosen


def test_a_pattern_chooses_among_many() -> None:
    assert chosen_taps(BLOCKS, ["block1*"]) == ("block1", "block10", "block11")
    assert chosen_taps(BLOCKS, ["block?"]) == BLOCKS.taps[:10]


def test_a_tap_of_another_family_is_refused_with_what_there_is() -> None:
    with pytest.raises(UnknownNameError) as caught:
        chosen_taps(BLOCKS, ["block3", "layer3"])
    assert isinstance(caught.value, UsageError)
    assert str(caught.value) == (
        'There is no tap of net "layer3". Its taps are block0, block1, ..., block11; patterns '
        "such as block* work."
    )


def test_a_misspelt_tap_is_answered_with_the_near_one() -> None:
    with pytest.raises(UnknownNameError) as caught:
        chosen_taps(LAYERS, ["layer_4"])
    assert "layer4" in caught.value.near


def test_one_wrong_name_among_right_patterns_is_still_refused() -> None:
    with pytest.raises(UnknownNameError, match=r'tap of net "stage\*"'):
        chosen_taps(LAYERS, ["layer*", "stage*"])
