"""The warning for a training that is too short to remove a backdoor."""

from __future__ import annotations

import pytest

from mimic_ray.method.recipe import parse_recipe
from mimic_ray.method.training_size import too_little


def said(images, steps, batch=64):
    return too_little(parse_recipe({"training": {"steps": steps, "batch": batch}}), images)


def test_a_run_as_long_as_those_that_were_measured_gets_no_warning():
    assert said(2000, 200) == ""


@pytest.mark.parametrize(
    ("images", "steps", "words"),
    [
        (40, 200, "40 images and 200 steps of 64 purify little: a backdoor is probably still"),
        (2000, 60, "2,000 images and 60 steps of 64 purify little"),
        (10, 1, "10 images and 1 step of 64 purify next to nothing"),
    ],
)
def test_a_short_run_or_few_images_get_a_warning_with_their_numbers(images, steps, words):
    assert said(images, steps).startswith(words)
