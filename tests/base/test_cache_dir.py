import os
import tempfile
from pathlib import Path

import pytest

from mimic_ray.base.cache_dir import cache_dir


def test_the_cache_is_in_the_configured_folder_or_the_one_of_the_platform(monkeypatch, tmp_path):
    monkeypatch.setenv("MIMIC_RAY_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path
    monkeypatch.delenv("MIMIC_RAY_CACHE")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "mimic-ray"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_dir() == Path.home() / ".cache" / "mimic-ray"
    monkeypatch.setattr("sys.platform", "darwin")
    assert cache_dir() == Path.home() / "Library" / "Caches" / "mimic-ray"


@pytest.mark.parametrize("why", ["no home", "not writable"])
def test_without_a_home_that_can_be_written_it_is_a_folder_for_temporary_files(monkeypatch, why):
    for name in ("MIMIC_RAY_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    if why == "no home":

        def home():
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.setattr(Path, "home", home)
    else:
        monkeypatch.setattr("os.access", lambda *_: False)
    assert cache_dir() == Path(tempfile.gettempdir(), f"mimic-ray-cache-{os.getuid()}")
