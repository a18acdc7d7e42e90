"""A fault at the n-th file operation of a commit, for every n until none fails."""

from __future__ import annotations

import errno
import os

import pytest
import torch

from mimic_ray.base.errors import DiskError, DiskFullError
from mimic_ray.store.checkpoint import commit, latest
from mimic_ray.store.run_folder import RunFolder
from tests.store.faulty_disk import FaultyDisk


class PowerCut(BaseException):
    """The process is gone: nothing after it runs, no cleaning either."""


class Faulty:
    """`fault` is an errno, raised once at the n-th operation, or PowerCut, raised from it on."""

    def __init__(self, patch: pytest.MonkeyPatch, fails_at: int, fault: int | type[PowerCut]):
        self.fault = fault
        for_ever = fault is PowerCut
        self.disk = FaultyDisk(
            patch, lambda call: call >= fails_at if for_ever else call == fails_at, self.fail
        )

    def fail(self) -> None:
        if self.fault is PowerCut:
            raise PowerCut
        raise OSError(self.fault, os.strerror(self.fault))


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
    expected = {errno.ENOSPC: DiskFullError, errno.EIO: DiskError, PowerCut: PowerCut}[fault]
    ends = set()
    for fails_at in range(1, 200):
        folder = RunFolder.create(tmp_path / str(fails_at), record)
        for step in earlier:
            commit(folder, step, state(step))
        with pytest.MonkeyPatch.context() as patch:
            disk = Faulty(patch, fails_at, fault).disk
            try:
                commit(folder, 30, state(30))
            except (DiskError, PowerCut) as error:
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
