"""Fixtures that more than one room needs."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images and third-party weights, beside the repository where it exists."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the shared data pack is not beside the repository")
    return SHARED_DATA
