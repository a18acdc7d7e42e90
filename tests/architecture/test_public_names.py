"""The Python API: what is public, documented, and imported only when it is used."""

from __future__ import annotations

import inspect
import pydoc
import typing

import pytest
from torch import nn

import mimic_ray

FUNCTIONS = [
    *("inspect", "purify", "load_encoder", "evaluate", "profile", "tune", "plan", "attack"),
    *("compare", "scan"),
    "show_progress",
]
# Required arguments that are no text.
EXAMPLES: dict[str, object] = {
    "encoders": {"a": "b"},
    "feature_width": 1,
    "input_size": 1,
    "mean": (0, 0, 0),
    "std": (1, 1, 1),
    "taps": ("a",),
    "spec": mimic_ray.Spec("a", 1, 1, (0, 0, 0), (1, 1, 1), ("a",)),
    "net": nn.Identity(),
}
SECTIONS = ("Args:", "Returns:", "Raises:", "Example:")


def test_dir_and_all_list_the_same_names():
    assert dir(mimic_ray) == mimic_ray.__all__ == sorted(mimic_ray.__all__)
    assert {name for name in mimic_ray.__all__ if name.islower() and name[0] != "_"} == {*FUNCTIONS}


@pytest.mark.parametrize("name", sorted(set(mimic_ray.__all__) - {"__version__"}))
def test_every_public_name_can_be_imported_and_has_a_docstring_of_its_own(name):
    found = getattr(mimic_ray, name)
    assert found.__name__ == name
    assert found.__doc__
    assert name in (mimic_ray.__doc__ or ""), "the page of help(mimic_ray) leaves it out"


@pytest.mark.parametrize("name", sorted({*FUNCTIONS} - {"show_progress"}))
def test_every_function_documents_each_parameter_its_result_errors_and_an_example(name):
    function = getattr(mimic_ray, name)
    parts = function.__doc__.split("\n    ")
    assert all(any(line.strip() == section for line in parts) for section in SECTIONS)
    arguments = function.__doc__.partition("Args:")[2].partition("Returns:")[0]
    for parameter in inspect.signature(function).parameters:
        assert f"\n        {parameter}: " in arguments, parameter


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_typed(name):
    function = inspect.unwrap(getattr(mimic_ray, name))
    hints = typing.get_type_hints(function)
    assert set(hints) == {*inspect.signature(function).parameters, "return"}


@pytest.mark.parametrize(
    ("name", "parameter"),
    [
        (name, parameter)
        for name in [*FUNCTIONS, "Resources", "Oracle", "Spec", "Encoder"]
        for parameter in inspect.signature(getattr(mimic_ray, name)).parameters
    ],
)
def test_a_wrong_type_is_refused_with_the_name_of_the_argument(name, parameter):
    function = getattr(mimic_ray, name)
    needed = {
        each: EXAMPLES.get(each, "a")
        for each, known in inspect.signature(function).parameters.items()
        if known.default is known.empty
    }
    with pytest.raises(mimic_ray.UsageError, match=f"^Invalid {parameter}=<object>: "):
        function(**{**needed, parameter: object()})


@pytest.mark.parametrize("name", ["purify", "tune", "profile", "attack", "compare", "scan"])
def test_functions_that_read_a_checkpoint_begin_alike(name):
    first = [*inspect.signature(getattr(mimic_ray, name)).parameters][:4]
    assert first == ["encoder", "teacher", "data", "out"]


def test_help_is_a_page_that_has_every_function():
    page = pydoc.render_doc(mimic_ray, renderer=pydoc.plaintext)
    assert "Five minutes" in page
    for name in FUNCTIONS:
        assert f"    {name}(" in page


def test_other_names_are_refused_by_python_s_own_error():
    with pytest.raises(AttributeError, match="no attribute 'purfy'"):
        _ = mimic_ray.purfy
