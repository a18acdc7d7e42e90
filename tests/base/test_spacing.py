"""Positions that are spread over a set."""

from __future__ import annotations

import itertools

import pytest

from mimic_ray.base.spacing import evenly_spaced


@pytest.mark.parametrize(("number", "total"), [(1, 1), (3, 3), (7, 3), (48, 239), (32, 191)])
def test_positions_differ_are_in_order_and_reach_both_ends(number, total):
    found = evenly_spaced(number, total)
    assert len(found) == min(number, total)
    assert found == sorted(set(found))
    assert found[0] == 0
    assert found[-1] >= total - total / len(found) - 1
    gaps = {after - before for before, after in itertools.pairwise(found)}
    assert max(gaps, default=1) - min(gaps, default=1) <= 1


def test_of_an_empty_set_there_are_none():
    assert evenly_spaced(5, 0) == []
