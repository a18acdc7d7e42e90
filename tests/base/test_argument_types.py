from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from mimic_ray.base.argument_types import check_fields, checked_arguments
from mimic_ray.base.errors import UsageError


class Kind:
    """A class whose instances an argument takes."""


@checked_arguments
def work(
    path: str | Path = "",
    number: int = 0,
    share: float = 0.5,
    flag: bool = False,
    names: Iterable[str] = (),
    paths: Sequence[str | Path] = (),
    table: Mapping[str, Any] | None = None,
    places: Mapping[str, str | Path] | None = None,
    choice: Literal["auto", "fp32"] = "auto",
    callback: Callable[[int], None] = print,
    kind: Kind | None = None,
    sides: tuple[int, int] = (1, 1),
    taps: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Returns its arguments."""
    return locals()


@dataclass(frozen=True)
class Facts:
    width: int
    name: str | None = None

    def __post_init__(self) -> None:
        check_fields(self)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("path", "a"), ("path", Path("a")), ("number", -3), ("share", 1), ("share", 0.25)],
        *[("flag", True), ("names", ["a", "b"]), ("names", {"a"}), ("paths", ["a", Path("b")])],
        *[("table", {"a": object}), ("table", None), ("places", {"a": Path("b")})],
        *[("choice", "fp32"), ("callback", len), ("kind", Kind()), ("sides", (2, 3))],
        *[("sides", [2, 3]), ("taps", ("a", "b", "c"))],
    ],
)
def test_what_the_annotation_says_is_passed_on(name, value):
    assert work(**{name: value})[name] is value


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("path", 3, "Invalid path=3: work takes a str or a Path."),
        ("path", None, "Invalid path=None: work takes a str or a Path."),
        ("path", b"a", "Invalid path=b'a': work takes a str or a Path."),
        ("path", "a\0b", r"Invalid path='a\x00b': it has a null character."),
        ("number", 1.0, "Invalid number=1.0: work takes an int."),
        ("number", True, "Invalid number=True: work takes an int."),
        ("number", "3", "Invalid number='3': work takes an int."),
        ("share", "0.5", "Invalid share='0.5': work takes a number."),
        ("flag", 1, "Invalid flag=1: work takes True or False."),
        ("names", "ab", "Invalid names='ab': work takes a list of str."),
        ("names", {"a": 1}, "Invalid names={'a': 1}: work takes a list of str."),
        ("names", ["a", 1], "Invalid names=['a', 1]: work takes a list of str."),
        ("paths", [None], "Invalid paths=[None]: work takes a list of str or Path."),
        ("table", ["a=1"], "Invalid table=['a=1']: work takes a dict of str to anything or None."),
        ("places", {"a": 1}, "{'a': 1}: work takes a dict of str to str or Path or None."),
        ("places", {1: "a"}, "{1: 'a'}: work takes a dict of str to str or Path or None."),
        ("choice", "fp64", "Invalid choice='fp64': work takes 'auto' or 'fp32'."),
        ("callback", 3, "Invalid callback=3: work takes a function."),
        ("kind", {"a": 1}, "Invalid kind={'a': 1}: work takes a tests.Kind or None."),
        ("kind", np.zeros(2), "Invalid kind=<numpy.ndarray>: work takes a tests.Kind or None."),
        ("sides", (1, 2, 3), "Invalid sides=(1, 2, 3): work takes a tuple (int, int)."),
        ("sides", (1, "b"), "Invalid sides=(1, 'b'): work takes a tuple (int, int)."),
        ("taps", ("a", 3), "Invalid taps=('a', 3): work takes a tuple of str."),
    ],
)
def test_another_type_is_refused_with_the_name_and_what_it_takes(name, value, words):
    with pytest.raises(UsageError, match=re.escape(words) + "$"):
        work(**{name: value})


def test_positional_arguments_are_checked_too():
    with pytest.raises(UsageError, match="Invalid number='3'"):
        work("a", "3")


def test_an_iterator_is_read_once_and_becomes_a_list():
    assert work(names=(letter for letter in "ab"))["names"] == ["a", "b"]
    with pytest.raises(UsageError, match=r"Invalid names=\[1\]"):
        work(names=iter([1]))


@pytest.mark.parametrize(("name", "value"), [("number", np.int64(3)), ("share", np.float32(3))])
def test_numbers_of_numpy_become_numbers_of_python(name, value):
    found = work(**{name: value})[name]
    assert found == 3
    assert type(found) in (int, float)


def test_missing_and_unknown_arguments_are_python_s_own_errors():
    @checked_arguments
    def needs(one: str) -> str:
        return one

    with pytest.raises(TypeError, match=r"needs\(\) missing 1 required positional argument: 'one'"):
        needs()
    with pytest.raises(TypeError, match="unexpected keyword argument 'two'"):
        needs("a", two=2)


def test_a_constructor_is_named_by_its_class():
    class Net:
        @checked_arguments
        def __init__(self, width: int) -> None:
            self.width = width

    assert Net(3).width == 3
    with pytest.raises(UsageError, match=r"Invalid width='3': .*Net takes an int"):
        Net("3")


def test_fields_of_a_dataclass_are_checked():
    assert Facts(3, "a").name == "a"
    with pytest.raises(UsageError, match="Invalid width='3': Facts takes an int"):
        Facts("3")
    with pytest.raises(UsageError, match="Invalid name=5: Facts takes a str or None"):
        Facts(3, 5)


def test_a_long_value_is_cut():
    with pytest.raises(UsageError) as caught:
        work(number="x" * 1000)
    assert len(str(caught.value)) < 150
