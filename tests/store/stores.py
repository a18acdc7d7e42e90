"""The two backends of a store, each as a location that several processes may open."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(params=["folder", "bucket"])
def location(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """A new location without files: a path, or an address on a local S3 server."""
    monkeypatch.setenv("MIMIC_RAY_CACHE", str(tmp_path / "cache"))
    if request.param == "folder":
        return str(tmp_path / "out")
    return f"{request.getfixturevalue('bucket')}/out"
