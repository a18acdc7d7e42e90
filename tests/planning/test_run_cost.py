"""The sentence about a cost, and when a command is refused for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mimic_ray.base.errors import UsageError
from mimic_ray.planning.run_cost import Cost, CostPart, report_cost

GB = 10**9


def cost(hours: float, *, memory: float = 2 * GB, have: float = 24 * GB, cores: int = 2) -> Cost:
    parts = (CostPart("training", 38_400, 3600 * hours), CostPart("checks", 600, 0.0))
    return Cost(parts, memory, have, cores, 0.9)


def test_a_busy_machine_is_named_because_steps_are_timed_at_a_fraction_of_their_speed():
    busy = replace(cost(1.0), load=8.7, machine_cores=2)
    assert "This machine is busy (9 processes on 2 cores)" in busy.sentence()
    assert busy.sentence().isprintable()
    assert "busy" not in replace(busy, load=2.0).sentence()
    assert "busy" not in replace(busy, cores=0).sentence()  # on a GPU


def test_the_sentence_has_images_time_parts_and_memory():
    assert cost(2.0).sentence() == (
        "Cost here: 39,000 images through the networks, about 2 h (training 2 h, checks 0 s), "
        "2.0 GB of memory. Estimated from steps timed for 0.9 s."
    )


@pytest.mark.parametrize(
    ("given", "too_large"),
    [
        (cost(23.9), False),
        (cost(24.1), True),
        (cost(1, memory=25 * GB), True),
        (cost(1, memory=25 * GB, have=0), False),  # the system does not say how much there is
    ],
)
def test_more_than_a_day_or_than_the_memory_is_too_large(given, too_large):
    assert given.too_large is too_large


def test_a_cost_is_always_told_and_refused_only_if_too_large_without_yes():
    reported: list[Cost] = []
    report_cost(cost(1), None, reported.append, False)
    report_cost(cost(48), None, reported.append, True)
    with pytest.raises(UsageError):
        report_cost(cost(48), None, reported.append, False)
    assert [each.seconds for each in reported] == [3600, 48 * 3600, 48 * 3600]


def test_the_refusal_names_every_way_out():
    with pytest.raises(UsageError) as caught:
        report_cost(cost(72), lambda: cost(12), lambda _: None, False)
    said = caught.value.for_command_line()
    assert said.startswith(cost(72).sentence())
    assert "That is more than a day. Set --yes to start all the same, or --effort quick" in said
    assert "which takes about 12 h." in said
    assert "within 24 h it needs 6 such CPU cores or a GPU that is 3 times as fast" in said
    assert "yes=True" in caught.value.message


def test_quick_is_no_way_out_where_it_is_the_same():
    with pytest.raises(UsageError) as caught:
        report_cost(cost(72), lambda: cost(72), lambda _: None, False)
    assert "quick" not in caught.value.message


def test_too_much_memory_is_refused_with_what_there_is():
    with pytest.raises(UsageError, match=r"30\.0 GB of memory.* This machine has 24\.0 GB"):
        report_cost(cost(1, memory=30 * GB), None, lambda _: None, False)


def test_the_machine_that_would_do_it_in_an_hour():
    assert cost(0.9).faster_machine(3600) == ""
    assert "60 such CPU cores" in cost(30).faster_machine(3600)
    assert cost(30, cores=0).faster_machine(3600).startswith("To end within 60 min it needs a GPU")
