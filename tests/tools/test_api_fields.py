import dataclasses

from mimic_ray.workflows.inspect import Inspection
from mimic_ray.workflows.plan import Plan
from tools import api_fields


def rows(path: str) -> dict[str, list[str]]:
    lines = api_fields.table(path).splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {cell[0].strip("`"): cell[1:] for cell in cells}


def test_every_field_has_a_row_in_order():
    for path, kind in (("workflows.inspect.Inspection", Inspection), ("workflows.plan.Plan", Plan)):
        names = [field.name for field in dataclasses.fields(kind)]
        assert [*rows(path)][: len(names)] == names


def test_a_row_has_the_type_and_the_comment_of_the_field():
    assert rows("workflows.plan.Plan")["batch"] == ["int", "images per device and step"]


def test_a_property_has_a_row():
    assert "gpu_hours" in rows("workflows.plan.Plan")
