"""Thresholds of mutual information, as the sets of layers that they keep."""

import pytest

from mimic_ray.search.kept_layers import canonical_threshold, distinct_thresholds

SHARES = [0.2, 0.5, 0.3]


def test_there_are_as_many_thresholds_as_sets_of_kept_layers():
    thresholds = distinct_thresholds(SHARES)
    kept = [{i for i, share in enumerate(SHARES) if share >= t} for t in thresholds]
    assert kept == [{0, 1, 2}, {1, 2}, {1}]
    assert distinct_thresholds([0.25, 0.25, 0.5]) == [0.0, 0.375]


@pytest.mark.parametrize(
    ("threshold", "expected"), [(0.0, 0.0), (0.1, 0.0), (0.21, 0.25), (0.5, 0.4)]
)
def test_thresholds_that_keep_the_same_layers_are_one(threshold, expected):
    assert canonical_threshold(SHARES, threshold) == pytest.approx(expected)


def test_a_threshold_that_keeps_nothing_stays_so():
    assert canonical_threshold(SHARES, 0.9) == 1.0
