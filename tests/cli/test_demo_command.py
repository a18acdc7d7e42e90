"""The demo creates a new folder each time."""

from __future__ import annotations

from mimic_ray.cli.demo_command import _new_folder


def test_an_earlier_demo_is_not_overwritten(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("mimic-ray-demo", "mimic-ray-demo-2", "mimic-ray-demo-3"):
        assert str(_new_folder()) == name
        _new_folder().mkdir()
