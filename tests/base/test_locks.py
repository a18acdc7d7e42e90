"""Locks between processes."""

from __future__ import annotations

import subprocess
import sys

from mimic_ray.base.locks import give_back, take

HOLDER = """
import sys; from pathlib import Path; from mimic_ray.base.locks import take
print(take(Path(sys.argv[1])), flush=True); sys.stdin.read()
"""


def test_a_lock_is_exclusive_until_it_is_given_back(tmp_path):
    path = tmp_path / "below" / "driver.lock"
    taken = take(path)
    assert taken is not None
    assert taken >= 0
    assert take(path) is None
    give_back(path, taken)
    assert not path.exists()
    again = take(path)
    assert again is not None
    give_back(path, again)


def test_a_killed_process_releases_its_lock(tmp_path):
    path = tmp_path / "driver.lock"
    words = [sys.executable, "-c", HOLDER, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(words, text=True, **pipes) as holder:
        assert int(holder.stdout.readline()) >= 0
        assert take(path) is None
        holder.kill()
        holder.wait(10)
    assert take(path) is not None


def test_a_path_that_cannot_be_locked_is_not_an_error(tmp_path):
    (tmp_path / "file").touch()
    assert take(tmp_path / "file" / "x.lock") == -1
