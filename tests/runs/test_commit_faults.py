"""A fault at the n-th file operation of a commit, for every n until none fails.

The method is SQLite's ("How SQLite is tested", I/O error and crash tests).
"""

from __future__ import annotations

import errno
import io
import os

import pytest
import torch

from mimic_ray.base.errors import DiskFullError
from mimic_ray.runs import state_file
from mimic_ray.runs.commit import commit, latest
from mimic_ray.runs.folder import RunFolder


class PowerCut(BaseException):
    """The process is gone: nothing after it runs, no cleaning either."""


class FaultyDisk:
    """Counts the operations that change the disk, and lets the n-th fail.

    `fault` is an errno, raised once, or PowerCut, which all later operations raise as well. A
    write that fails has written half.
    """

    def __init__(self, patch: pytest.MonkeyPatch, fails_at: int, fault: int | type[PowerCut]):
        self.calls, self.fails_at, self.fault = 0, fails_at, fault
        self.open = io.open
        for name in ("open", "fsync", "replace", "rename", "mkdir", "unlink", "rmdir"):
            patch.setattr(os, name, self._counted(getattr(os, name)))
        patch.setattr(io, "open", self._open)
        self.save_file = state_file.save_file
        patch.setattr(state_file, "save_file", self._save_file)

    def _check(self):
        self.calls += 1
        if self.fault is PowerCut and self.calls >= self.fails_at:
            raise PowerCut
        if self.calls == self.fails_at:
            raise OSError(self.fault, os.strerror(self.fault))

    def _counted(self, operation):
        def faulty(*args, **options):
            self._check()
            return operation(*args, **options)

        return faulty

    def _open(self, path, mode="r", *args, **options):
        if not {*mode} & {*"wax+"}:
            return self.open(path, mode, *args, **options)
        self._check()
        file = self.open(path, mode, *args, **options)
        write = file.write

        def faulty_write(content):
            try:
                self._check()
            except BaseException:
                write(content[: len(content) // 2])
                file.flush()
                raise
            return write(content)

        file.write = faulty_write
        return file

    def _save_file(self, tensors, path):
        try:
            self._check()
        except BaseException:
            with self.open(path, "wb") as file:
                file.write(b"half of it")
            raise
        self.save_file(tensors, path)


def state(step):
    return {"step": step, "weights": torch.full((50,), float(step))}


def unfinished(folder):
    return [*folder.path.rglob(".*.tmp-*")]


@pytest.mark.parametrize(
    ("earlier", "fault"),
    [
        ((), PowerCut),
        ((10, 20), PowerCut),
        ((10, 20), errno.ENOSPC),
        ((10, 20), errno.EIO),
    ],
)
def test_wherever_a_commit_fails_a_whole_checkpoint_stays(tmp_path, record, earlier, fault):
    expected = {errno.ENOSPC: DiskFullError, errno.EIO: OSError, PowerCut: PowerCut}[fault]
    ends = set()
    for fails_at in range(1, 200):
        folder = RunFolder.create(tmp_path / str(fails_at), record)
        for step in earlier:
            commit(folder, step, state(step))
        with pytest.MonkeyPatch.context() as patch:
            disk = FaultyDisk(patch, fails_at, fault)
            try:
                commit(folder, 30, state(30))
            except (DiskFullError, OSError, PowerCut) as error:
                raised = type(error)
            else:
                raised = None
        assert raised in {expected, None}

        found = latest(folder)
        ends.add(found.step if found else None)
        if found:
            assert torch.equal(found.state["weights"], torch.full((50,), float(found.step)))
        if fault is not PowerCut:  # who lives, cleans up at once
            assert not unfinished(folder)
        folder.remove_leftovers()
        assert not unfinished(folder)
        commit(folder, 40, state(40))  # and the next start goes on
        assert latest(folder).step == 40
        if disk.calls < fails_at:
            break
    # Three files are opened and written; they, two folders and the pointer synced; two renames.
    assert fails_at > 15
    assert ends == {earlier[-1] if earlier else None, 30}
