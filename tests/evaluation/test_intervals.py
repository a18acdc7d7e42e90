import pytest

from mimic_ray.evaluation.intervals import wilson


@pytest.mark.parametrize(("successes", "total"), [(0, 10), (3, 17), (500, 1000), (1999, 2000)])
def test_the_bounds_solve_the_equation_that_defines_them(successes, total):
    # Wilson: the p whose distance to the observed share is z standard errors of p.
    z, share = 1.959963984540054, successes / total
    for end in wilson(successes, total):
        if 0 < end < 1:
            assert abs(share - end) == pytest.approx(z * (end * (1 - end) / total) ** 0.5)


def test_an_interval_at_0_or_1_stays_inside_and_has_a_width():
    low, high = wilson(0, 100)
    assert low == pytest.approx(0.0, abs=1e-12)
    assert 0.03 < high < 0.04  # z^2 / (n + z^2) = 3.84 / 103.84
    low, high = wilson(100, 100)
    assert high == pytest.approx(1.0)
    assert 0.96 < low < 0.97


def test_more_images_give_a_narrower_interval():
    widths = [high - low for low, high in (wilson(n // 5, n) for n in (50, 500, 5000))]
    assert widths == sorted(widths, reverse=True)


def test_without_measurements_the_interval_is_0_to_1():
    assert wilson(0, 0) == (0.0, 1.0)
