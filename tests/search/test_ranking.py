import math

import numpy as np
import pytest

from mimic_ray.search.ranking import spearman


def test_an_increasing_map_has_rho_one_and_a_decreasing_one_minus_one():
    x = np.linspace(0.1, 3, 12)
    assert spearman(x, np.exp(x)).rho == pytest.approx(1)
    assert spearman(x, -(x**3)).rho == pytest.approx(-1)


def test_a_known_case_with_ties():
    """Ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4: rho = 4.5 / sqrt(4.5 * 5)."""
    assert spearman([1, 2, 2, 9], [1, 2, 3, 4]).rho == pytest.approx(4.5 / math.sqrt(22.5))


def test_the_interval_holds_rho_and_narrows_with_more_pairs():
    rng = np.random.default_rng(1)
    widths = []
    for count in (12, 200):
        x = rng.normal(size=count)
        found = spearman(x, x + rng.normal(size=count))
        assert found.low <= found.rho <= found.high
        widths.append(found.high - found.low)
    assert widths[1] < widths[0] / 2


def test_pairs_without_a_number_are_left_out():
    nan = float("nan")
    assert spearman([1, 2, 3, 4, nan], [1, 2, 3, 4, 5]).count == 4


def test_too_few_pairs_have_no_order():
    assert math.isnan(spearman([1, 2, 3], [1, 2, 3]).rho)
    assert math.isnan(spearman([1] * 6, [1, 2, 3, 4, 5, 6]).rho)


def test_unequal_lengths_are_a_mistake():
    with pytest.raises(ValueError, match="3 and 2"):
        spearman([1, 2, 3], [1, 2])
