import re

from mimic_ray.method.recipe import Recipe
from mimic_ray.method.recipe_keys import recipe_keys
from tools import recipe_page


def cells(key: str) -> list[str]:
    line = re.search(rf"^\| `{re.escape(key)}` \|.*$", recipe_page.page(), re.MULTILINE)
    assert line, key
    return [cell.strip() for cell in line[0].strip("| ").split(" | ")]


def test_every_key_of_the_recipe_has_a_row():
    keys = list(recipe_keys())
    assert len(keys) > 40
    for key in keys:
        assert len(cells(key.key)) == 5


def test_every_key_has_a_meaning():
    assert [key.key for key in recipe_keys() if not key.description] == []


def test_a_row_has_values_and_the_default_of_the_recipe():
    assert f"`{Recipe().training.steps}`" in cells("training.steps")
    assert cells("student.start")[3] == '`"teacher"`'
    assert "`0.3`" in cells("perturbations.patch.probability")
    assert "`false`" in cells("training.compile")
