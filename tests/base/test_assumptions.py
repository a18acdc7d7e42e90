"""What is assumed is said."""

from __future__ import annotations

import pytest

from mimic_ray.base.assumptions import AssumptionWarning, assume


def test_an_assumption_is_a_warning_at_the_line_of_the_caller():
    def call() -> None:
        assume("taken as 224 pixels")

    with pytest.warns(AssumptionWarning, match="taken as 224 pixels") as warned:
        call()
    assert warned[0].filename == __file__
