"""Interchangeable parts by name: one table for each kind, resolved on use.

A registry maps names to "module:attribute" strings, so listing the names (for `--help` and for
similar names in errors) imports neither torch nor the parts. A registry with a `user_form` also
accepts `file.py:name` from a user's file.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mimic_ray.base import user_code
from mimic_ray.base.errors import UnknownNameError, UsageError
from mimic_ray.base.text import near_names

if TYPE_CHECKING:
    from pydantic import ValidationError

T = TypeVar("T")
_NO_SETTINGS: Mapping[str, Any] = MappingProxyType({})
_NO_CALLS: Mapping[str, Sequence[str]] = MappingProxyType({})


def _unchanged(part: Any, name: str) -> Any:  # noqa: ARG001
    return part


class Registry(Generic[T]):
    """The parts of one kind. `resolve` gives each as a `T`.

    `kind` names a part in errors. `user_form` describes a user's own parts (in the plural), and
    `is_member` checks an object; without a `user_form` only the names in the table are accepted.
    `calls` has the positional arguments of each call of a user's part, by method; "" calls the part
    itself. `adapt(part, name)` converts each part to a `T`.
    """

    def __init__(
        self,
        kind: str,
        members: Mapping[str, str],
        *,
        user_form: str = "",
        is_member: Callable[[object], bool] = callable,
        calls: Mapping[str, Sequence[str]] = _NO_CALLS,
        adapt: Callable[[Any, str], T] = _unchanged,
    ) -> None:
        self.kind = kind
        self._members = dict(members)
        self._user_form, self._is_member, self._adapt = user_form, is_member, adapt
        self._calls = calls

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def takes(self, name: str) -> bool:
        """Whether `name` is in the table, or has the form `file.py:name` if that is allowed."""
        return name in self._members or bool(self._user_form and user_code.is_user_code(name))

    def member(self, name: str) -> Any:
        """The object as defined: a class, a function or an instance.

        `file.py:name` runs the user's file. Raises UnknownNameError with similar names, and
        UsageError for a file or an object that cannot be used.
        """
        if name in self._members:
            module, _, attribute = self._members[name].partition(":")
            return getattr(import_module(module), attribute)
        if not self.takes(name):
            raise self.unknown(name)
        member = user_code.load(name, self.kind)
        if not self._is_member(member):
            raise UsageError(
                f"{name} is of type {type(member).__name__}; {self.kind}s are {self._user_form}."
            )
        return member

    def settings(self, name: str, given: Mapping[str, Any] = _NO_SETTINGS) -> dict[str, Any]:
        """Every setting of a member: the given value, converted to its type, or the default.

        Raises what `member` does, UnknownNameError for a setting that the member does not have, and
        UsageError for values that it does not take.
        """
        from pydantic import ValidationError  # not needed to list the names

        from mimic_ray.base.member_settings import settings_model, validated

        member = self.member(name)
        try:
            return validated(member, given)
        except ValidationError as error:
            raise self._refusal(name, settings_model(member).model_fields, error) from None

    def resolve(self, name: str, settings: Mapping[str, Any] = _NO_SETTINGS) -> T:
        """The part itself: a class is called with the settings, a function gets them filled in.

        Raises what `settings` does.
        """
        from mimic_ray.base.member_settings import configured

        part = self.member(name)
        if callable(part):
            part = configured(part, self.settings(name, settings))
        if name not in self._members:
            self._check_calls(part, name)
        return self._adapt(part, name)

    def _check_calls(self, part: Any, name: str) -> None:
        """Raises UsageError if a user's part does not take the arguments that it is called with."""
        for method, arguments in self._calls.items():
            called = f"{method or name.rpartition(':')[2]}({', '.join(arguments)})"
            function = getattr(part, method, None) if method else part
            if not callable(function):
                raise UsageError(f"{name} has no method {called}, which {self.kind}s need.")
            try:
                signature = inspect.signature(function)
            except ValueError:  # written in C
                continue
            try:
                signature.bind(*arguments)
            except TypeError:
                raise UsageError(
                    f"{name} has the wrong signature {method}{signature}: {self.kind}s are called "
                    f"as {called}, and only parameters after * are settings."
                ) from None

    def _refusal(self, name: str, known: Iterable[str], error: ValidationError) -> UsageError:
        from mimic_ray.base.member_settings import sentence

        problems = [(".".join(map(str, each["loc"])), each) for each in error.errors()]
        for key, problem in problems:
            if problem["type"] == "extra_forbidden":
                kind, hint = f"setting of {self.kind} {name}", f"It has {', '.join(known)}."
                return UnknownNameError(kind, key, near_names(key, known), hint)
        sentences = [sentence(problem, key) for key, problem in problems]
        return UsageError(f"{self.kind} {name}: {'; '.join(sentences)}")

    def unknown(self, name: str) -> UnknownNameError:
        """The error for a name that is not in this registry."""
        hint = f"Built in: {', '.join(self._members)}."
        if self._user_form:
            hint += " Name one of your own as file.py:NAME."
        return UnknownNameError(self.kind, name, near_names(name, self._members), hint)

    def description(self, name: str) -> str:
        """The first line of the member's docstring, without the full stop.

        A user's own member is described by its name, so that its file is not run.
        """
        if name not in self._members:
            return name
        lines = (inspect.getdoc(self.member(name)) or name).splitlines()
        return lines[0].removesuffix(".")
