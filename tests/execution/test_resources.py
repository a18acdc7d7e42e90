import pytest

from mimic_ray.base.errors import UsageError
from mimic_ray.execution.resources import Workers, parse_workers


@pytest.mark.parametrize(("text", "range_"), [("1", (1, 1)), ("4", (4, 4)), ("1-3", (1, 3))])
def test_a_number_or_a_range_of_workers(text, range_):
    assert parse_workers(text) == range_


@pytest.mark.parametrize("text", ["0", "3-1", "0-2", "-1", "1-", "2,3", "many", ""])
def test_no_range_is_refused_with_an_example(text):
    with pytest.raises(UsageError, match="such as 1-3"):
        parse_workers(text)


def test_only_a_run_that_may_shrink_or_has_nodes_to_lose_restarts_unasked():
    assert Workers(4).restarts == 0
    assert Workers(4, least=4).restarts == 0
    assert Workers(4, least=2).restarts > 0
    assert Workers(4, address="10.0.0.1:6379").restarts > 0
    assert Workers(4, least=2, max_failures=0).restarts == 0
    assert Workers(4, max_failures=5).restarts == 5
