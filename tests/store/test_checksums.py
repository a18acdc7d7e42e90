from __future__ import annotations

import os
import subprocess

import pytest

from mimic_ray.base.errors import DamagedCheckpointError
from mimic_ray.store.checksums import NAME, check_sums, write_sums


@pytest.fixture
def run(tmp_path):
    for name in (
        "student.safetensors",
        "export/suspect.pth",
        "run.json",
        "checkpoints/latest.json",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"content of {name}")
    write_sums(tmp_path)
    return tmp_path


def test_sha256sum_accepts_the_list(run):
    done = subprocess.run(["sha256sum", "--check", NAME], cwd=run, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.splitlines() == ["export/suspect.pth: OK", "student.safetensors: OK"]


def test_a_changed_file_is_reported(run):
    check_sums(run)
    (run / "export" / "suspect.pth").write_text("other weights")
    with pytest.raises(DamagedCheckpointError, match=r"export/suspect\.pth is damaged"):
        check_sums(run)
    check_sums(run, "student.safetensors")


def test_a_missing_file_is_reported(run):
    (run / "student.safetensors").unlink()
    with pytest.raises(DamagedCheckpointError, match=r"student\.safetensors is missing"):
        check_sums(run, "student.safetensors")


def test_a_run_without_a_list_is_not_checked(run):
    (run / NAME).unlink()
    check_sums(run)


def test_a_file_name_may_be_any_bytes(tmp_path):
    (tmp_path / "export").mkdir()
    name = os.fsdecode(b"caf\xe9.pth")
    (tmp_path / "export" / name).write_text("weights")
    write_sums(tmp_path)
    check_sums(tmp_path)
    (tmp_path / "export" / name).write_text("others")
    with pytest.raises(DamagedCheckpointError, match="is damaged"):
        check_sums(tmp_path)
