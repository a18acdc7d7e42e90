"""Folders and shared memory of machines on which Ray's own choice fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mimic_ray.base.errors import ResourceError
from mimic_ray.distributed import local_ray
from mimic_ray.distributed.local_ray import home_variable, local_ray_options

LONG = "slurm_jobdir_" + "x" * 40


@pytest.fixture
def short(monkeypatch):
    """A folder with a short path, the only other one that Ray may use."""
    folder = Path("/tmp", f"t{os.getpid()}")
    monkeypatch.setattr(local_ray, "_other_folders", lambda: [folder / "ray"])
    yield folder
    for path in (folder / "ray", folder):
        if path.exists():
            path.rmdir()


def options(temporary: Path, shared_memory: Path = Path("/tmp")) -> dict[str, object]:
    return local_ray_options({"TMPDIR": str(temporary)}, shared_memory)


def test_on_most_machines_ray_chooses_itself(short):
    assert options(short) == {}


def test_a_path_too_long_for_a_socket_is_replaced(short, tmp_path):
    assert options(tmp_path / LONG) == {"_temp_dir": str(short / "ray")}


def test_the_longest_path_that_is_accepted_leaves_room_for_rays_longest_socket(tmp_path):
    session = f"session_2026-11-28_16-08-53_123456_{4 << 20}/sockets/plasma_store"
    assert local_ray._LONGEST_FOLDER + len(f"/{session}") <= 107
    assert local_ray._problem(tmp_path / LONG) == "too long"


def test_a_folder_that_cannot_be_written_is_replaced(short):
    """As /tmp/ray of another user; root may write everywhere, hence a file in its place."""
    short.mkdir()
    (short / "taken").touch()
    assert options(short / "taken") == {"_temp_dir": str(short / "ray")}
    (short / "taken").unlink()


def test_without_any_folder_the_way_out_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(local_ray, "_other_folders", lambda: [Path("/proc/x/ray")])
    with pytest.raises(ResourceError) as refused:
        options(tmp_path / LONG)
    assert f"{LONG}/ray (too long), /proc/x/ray (no such file" in refused.value.message
    assert "Set RAY_TMPDIR to a folder that you may write to" in refused.value.message


def test_our_own_folder_is_not_used_if_another_user_made_it(monkeypatch):
    folder = Path("/tmp", f"mimic-ray-{os.getpid()}")
    folder.mkdir()
    try:
        assert local_ray._problem(folder) == ""
        monkeypatch.setattr("os.getuid", lambda: 4711)
        assert local_ray._problem(folder) == "belongs to another user"
    finally:
        folder.rmdir()


def test_without_shared_memory_objects_are_kept_in_a_folder(short, tmp_path):
    found = options(short, shared_memory=tmp_path / "shm")
    assert found["_plasma_directory"] == str(short / "ray")
    assert found["object_store_memory"] >= 75 << 20  # Ray's minimum


def test_ray_keeps_within_the_memory_of_a_job(short, tmp_path, monkeypatch):
    monkeypatch.setattr(local_ray, "physical_bytes", lambda: 64 << 30)
    monkeypatch.setattr(local_ray, "machine_memory_bytes", lambda: 2 << 30)
    found = options(short, tmp_path)
    assert found["_memory"] == int(0.7 * (2 << 30))
    assert 75 << 20 <= found["object_store_memory"] <= 0.3 * (2 << 30) + 1
    monkeypatch.setattr(local_ray, "machine_memory_bytes", lambda: 64 << 30)
    assert options(short, tmp_path) == {}


def test_a_user_without_a_home_gets_one_for_ray(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert home_variable() == {}
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda _: {}[0])  # an unknown user: KeyError
    assert Path(home_variable()["HOME"]).is_dir()
