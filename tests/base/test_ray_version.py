"""Which releases of Ray are accepted."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from mimic_ray.base.errors import ResourceError
from mimic_ray.base.ray_version import SUPPORTED_RAY, check_ray_version

ROOT = Path(__file__).parents[2]


def test_the_supported_range_is_the_one_of_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["cluster"]]
    lowest, limit = SUPPORTED_RAY
    ranges = {text.partition("]")[2] for text in needed if text.startswith("ray[")}
    assert ranges == {f">={lowest},<{limit}"}


@pytest.mark.parametrize("version", ["2.60.0", "2.61.3"])
def test_a_supported_ray_is_accepted(monkeypatch, version):
    monkeypatch.setattr("importlib.metadata.version", lambda name: version)
    check_ray_version()


@pytest.mark.parametrize("version", ["2.59.1", "2.62.0", "3.0.0"])
def test_an_unsupported_ray_is_refused_with_the_command_to_install_another(monkeypatch, version):
    monkeypatch.setattr("importlib.metadata.version", lambda name: version)
    with pytest.raises(ResourceError, match=rf"Ray {version} is installed.*pip install"):
        check_ray_version()
