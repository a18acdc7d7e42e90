import pytest

from mimic_ray.base.errors import UnknownNameError
from mimic_ray.planning.hardware import HARDWARE, find


def test_an_unknown_card_raises_an_error_with_near_names():
    with pytest.raises(UnknownNameError, match=r"Did you mean .*h100"):
        find("h1000")
    assert find("H100").name == "h100"


@pytest.mark.parametrize("name", HARDWARE)
def test_the_figures_of_a_card_are_plausible(name):
    card = find(name)
    assert 16 <= card.memory / 2**30 <= 200
    assert card.fp32 <= card.bf16 <= 1000e12
    assert card.network <= card.link < card.bandwidth
