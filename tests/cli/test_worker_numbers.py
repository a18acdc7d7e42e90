"""Numbers of workers on the command line."""

from __future__ import annotations

import pytest

from mimic_ray.base.errors import UsageError
from mimic_ray.cli.worker_numbers import parse_worker_counts, parse_worker_range


@pytest.mark.parametrize(("text", "expected"), [("1", (1, 1)), ("4", (4, 4)), ("1-3", (1, 3))])
def test_a_number_or_a_range_of_workers(text, expected):
    assert parse_worker_range(text) == expected


@pytest.mark.parametrize("text", ["0", "0-2", "-1", "1-", "2,3", "many", ""])
def test_an_invalid_range_is_refused_with_an_example(text):
    with pytest.raises(UsageError, match="such as 1-3"):
        parse_worker_range(text)


def test_a_range_the_wrong_way_round_is_turned_in_the_message():
    with pytest.raises(UsageError, match="give the smaller number first, 1-3"):
        parse_worker_range("3-1")


def test_counts_are_sorted_and_unique():
    assert parse_worker_counts("4, 1,2,1") == [1, 2, 4]


@pytest.mark.parametrize("text", ["", "1,,2", "0", "1-2", "two"])
def test_an_invalid_list_is_refused_with_an_example(text):
    with pytest.raises(UsageError, match=r"1,2,4"):
        parse_worker_counts(text)
