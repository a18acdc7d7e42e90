"""Locks between processes."""

from __future__ import annotations

import subprocess
import sys

from mimic_ray.base.locks import try_lock, unlock_and_remove

HOLDER = """
import sys; from pathlib import Path; from mimic_ray.base.locks import try_lock
print(try_lock(Path(sys.argv[1])), flush=True); sys.stdin.read()
"""


def test_a_lock_is_exclusive_until_it_is_given_back(tmp_path):
    path = tmp_path / "below" / "driver.lock"
    taken = try_lock(path)
    assert taken is not None
    assert taken >= 0
    assert try_lock(path) is None
    unlock_and_remove(path, taken)
    assert not path.exists()
    again = try_lock(path)
    assert again is not None
    unlock_and_remove(path, again)


def test_a_killed_process_releases_its_lock(tmp_path):
    path = tmp_path / "driver.lock"
    words = [sys.executable, "-c", HOLDER, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(words, text=True, **pipes) as holder:
        assert int(holder.stdout.readline()) >= 0
        assert try_lock(path) is None
        holder.kill()
        holder.wait(10)
    assert try_lock(path) is not None


def test_a_path_that_cannot_be_locked_is_not_an_error(tmp_path):
    (tmp_path / "file").touch()
    assert try_lock(tmp_path / "file" / "x.lock") == -1
