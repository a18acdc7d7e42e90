from pathlib import Path

from mimic_ray.base.cache_dir import cache_dir


def test_the_cache_is_in_the_configured_folder_or_the_one_of_the_platform(monkeypatch, tmp_path):
    monkeypatch.setenv("MIMIC_RAY_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path
    monkeypatch.delenv("MIMIC_RAY_CACHE")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_dir() == Path("/xdg/mimic-ray")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_dir() == Path.home() / ".cache" / "mimic-ray"
    monkeypatch.setattr("sys.platform", "darwin")
    assert cache_dir() == Path.home() / "Library" / "Caches" / "mimic-ray"
