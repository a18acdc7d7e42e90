from __future__ import annotations

import pytest

from mimic_ray.attacks.triggers.trigger_registry import TRIGGERS
from mimic_ray.base.errors import UnknownNameError, UsageError
from mimic_ray.base.registry import Registry
from mimic_ray.data.perturbations.perturbation_registry import PERTURBATIONS
from mimic_ray.defences.defence_registry import DEFENCES
from mimic_ray.method.estimators.estimator_registry import ESTIMATORS
from mimic_ray.method.losses.loss_registry import LOSSES

TABLE = {"stripes": f"{__name__}:stripes", "Steps": f"{__name__}:Steps"}


def stripes(side, *, period: int = 4, bright=False):
    """Stripes across the image.

    A second paragraph.
    """
    return [side, period, bright]


class Steps:
    def __init__(self, count: int = 3) -> None:
        self.count = count


def adapt(part, name):
    return lambda *given: (name, part(*given))


def test_a_function_is_bound_to_its_settings_and_a_class_is_instantiated():
    registry = Registry("pattern", TABLE)
    assert registry.resolve("stripes")(32) == [32, 4, False]
    assert registry.resolve("stripes", {"period": 8, "bright": True})(32) == [32, 8, True]
    assert registry.resolve("Steps", {"count": 5}).count == 5


@pytest.mark.parametrize("settings", [{"period": "four"}, {"bright": 3}])
def test_values_that_a_member_does_not_take_are_refused_by_name(settings):
    with pytest.raises(UsageError, match=f"pattern stripes: {next(iter(settings))} = "):
        Registry("pattern", TABLE).resolve("stripes", settings)


def test_the_error_of_an_unknown_setting_suggests_similar_ones():
    with pytest.raises(UnknownNameError) as caught:
        Registry("pattern", TABLE).resolve("stripes", {"perod": 4})
    assert caught.value.near == ("period",)
    assert "setting of pattern stripes" in str(caught.value)
    assert str(caught.value).endswith("It has period, bright.")


def test_the_description_is_the_first_line_of_the_docstring():
    registry = Registry("pattern", TABLE, user_form="functions of the side")
    assert registry.description("stripes") == "Stripes across the image"
    assert registry.description("no/such/file.py:x") == "no/such/file.py:x"


def test_the_error_of_an_unknown_name_suggests_similar_names():
    with pytest.raises(UnknownNameError) as caught:
        Registry("pattern", TABLE).resolve("stripe")
    assert caught.value.near == ("stripes",)
    assert str(caught.value) == (
        'There is no pattern "stripe". Did you mean stripes? Built in: stripes, Steps.'
    )


def test_a_users_file_is_accepted_only_by_registries_with_a_user_form(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def dots(side, *, size: int = 1):\n    return side * size\nnumber = 3\n")
    name = f"{file}:dots"
    with pytest.raises(UnknownNameError):
        Registry("pattern", TABLE).resolve(name)
    registry = Registry("pattern", TABLE, user_form="functions of the side", adapt=adapt)
    assert registry.takes(name)
    assert name not in registry
    assert registry.resolve(name, {"size": 2})(32) == (name, 64)
    with pytest.raises(UsageError, match="is of type int; patterns are functions of the"):
        registry.resolve(f"{file}:number")


PART = """
class Pair:
    def first(self, a): ...
    def second(self, a, b, *, c=1): ...

class Half:
    def first(self, a): ...

class Wrong:
    def first(self, a): ...
    def second(self, a): ...

class Called:
    def __call__(self, side, period): ...
def good(side, period, more=1, *, setting: int = 1): ...
def anything(*given): ...
def nothing(): ...
def few(side, *, setting: int = 1): ...
def many(side, period, more): ...
"""


@pytest.fixture
def part(tmp_path):
    (tmp_path / "mine.py").write_text(PART)
    return lambda name: f"{tmp_path / 'mine.py'}:{name}"


def registry_of(calls):
    return Registry("pattern", TABLE, user_form="functions of the side", calls=calls)


@pytest.mark.parametrize("name", ["good", "anything", "Called"])
def test_a_users_part_that_takes_the_arguments_of_the_call_is_accepted(part, name):
    assert registry_of({"": ("side", "period")}).resolve(part(name))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "few",
            r"few has the wrong signature \(side, \*, setting: int = 1\): patterns are ",
        ),
        (
            "many",
            r"many has the wrong signature \(side, period, more\): .* many\(side, period\),",
        ),
    ],
)
def test_a_users_part_with_another_signature_is_refused_with_the_needed_one(part, name, words):
    with pytest.raises(UsageError, match=words):
        registry_of({"": ("side", "period")}).resolve(part(name))


def test_methods_of_a_users_class_are_checked_too(part):
    registry = registry_of({"first": ("a",), "second": ("a", "b")})
    assert registry.resolve(part("Pair"))
    with pytest.raises(UsageError, match=r"Half has no method second\(a, b\), which patterns need"):
        registry.resolve(part("Half"))
    with pytest.raises(UsageError, match=r"signature second\(a\): .* called as second\(a, b\),"):
        registry.resolve(part("Wrong"))


@pytest.mark.parametrize(
    "registry", [PERTURBATIONS, LOSSES, ESTIMATORS, TRIGGERS, DEFENCES], ids=lambda r: r.kind
)
def test_the_arguments_of_a_users_part_are_those_of_the_built_in_ones(registry, part):
    assert registry._calls
    for name in registry:
        registry._check_calls(registry.resolve(name), name)
    words = "has the wrong signature" if "" in registry._calls else "is of type function"
    with pytest.raises(UsageError, match=words):
        registry.resolve(part("nothing"))


def test_built_in_parts_are_not_checked_at_run_time():
    assert registry_of({"": ("side", "period")}).resolve("stripes")(3) == [3, 4, False]


def test_listing_the_names_imports_no_member():
    registry = Registry("pattern", {"broken": "no.such.module:x"})
    assert list(registry) == ["broken"]
    assert len(registry) == 1
