"""What is assumed is said."""

from __future__ import annotations

from pathlib import Path

import pytest

import mimic_ray
from mimic_ray.base.assumptions import AssumptionWarning, assume


def test_an_assumption_is_a_warning_at_the_line_of_the_caller():
    with pytest.warns(AssumptionWarning, match="taken as 224 pixels") as warned:
        assume("taken as 224 pixels")
    assert warned[0].filename == __file__


def test_functions_of_the_package_between_caller_and_assumption_are_passed_over():
    inside = str(Path(mimic_ray.__file__).parent / "workflows" / "any.py")
    names = {"assume": assume}
    exec(compile("def load():\n    assume('x')\ndef scan():\n    load()", inside, "exec"), names)
    with pytest.warns(AssumptionWarning) as warned:
        names["scan"]()
    assert warned[0].filename == __file__
