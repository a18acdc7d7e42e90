"""The forward passes of a purification outside of its steps."""

from __future__ import annotations

import pytest

from mimic_ray.execution.fidelity_check import most_checked
from mimic_ray.method.recipe import parse_recipe
from mimic_ray.scanning.openings import SCAN_FORWARDS
from mimic_ray.workflows.run_forwards import run_forwards, searched

RECIPE = parse_recipe({"training": {"steps": 200, "batch": 64}, "openings": {"share": 0.0}})


def test_two_networks_are_profiled_and_checked_on_at_most_the_images_that_there_are():
    found = run_forwards(RECIPE, 10, 32, scan=False)
    assert found == (20, 20)
    many = run_forwards(RECIPE, 10**6, 32, scan=False)
    assert many == (2 * RECIPE.mutual_information.images, 2 * most_checked(32))


@pytest.mark.parametrize(
    ("images", "asked", "scanned"),
    [(10, None, 0), (10, True, 2), (5000, None, 2), (5000, False, 0)],
)
def test_both_networks_are_scanned_where_it_is_asked_or_the_run_is_long_enough(
    images, asked, scanned
):
    checked = run_forwards(RECIPE, images, 32, asked).checked
    assert checked - 2 * min(most_checked(32), images) == scanned * SCAN_FORWARDS["full"]


def test_the_search_for_openings_counts_where_there_are_images_for_it():
    searching = parse_recipe({"openings": {"effort": "quick"}})
    assert [searched(searching, images) for images in (63, 64)] == [0, SCAN_FORWARDS["quick"]]
    assert searched(RECIPE, 64) == 0
    more = run_forwards(searching, 64, 32, scan=False).checked
    assert more == 2 * 64 + SCAN_FORWARDS["quick"]
