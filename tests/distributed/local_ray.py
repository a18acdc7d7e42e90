"""A fake Ray in one process: actors are plain objects, references are their values."""

from __future__ import annotations

from types import SimpleNamespace

import pytest


class _Method:
    def __init__(self, method):
        self._method = method

    def remote(self, *arguments):
        return self._method(*arguments)


class Actor:
    """An actor handle: `actor.method.remote(...)` calls the method directly."""

    def __init__(self, state):
        self.state = state

    def __getattr__(self, name):
        return _Method(getattr(self.state, name))


class _Remote:
    def __init__(self, cls):
        self._cls = cls

    def options(self, **_):
        return self

    def remote(self, *arguments):
        return Actor(self._cls(*arguments))


def use_local_ray(patch: pytest.MonkeyPatch) -> None:
    """Replaces the functions of Ray that run_control.py and its users need."""
    node = SimpleNamespace(get_node_id=lambda: "0" * 56, gcs_address="10.0.0.1:6379")
    patch.setattr("ray.get_runtime_context", lambda: node)
    patch.setattr("ray.remote", lambda *_, **__: _Remote)
    patch.setattr("ray.get", lambda reference, **_: reference)
    patch.setattr("ray.put", lambda value: value)
    patch.setattr("ray.wait", lambda references, **_: (references, []))
