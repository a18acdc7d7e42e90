"""One reader process for all tests of this folder: torch's import is paid for once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mimic_ray.encoders.checkpoint import sandbox


@pytest.fixture(scope="session", autouse=True)
def _one_reader_process() -> Iterator[None]:
    with sandbox.kept():
        yield
