"""The lease of a run, in both backends."""

from __future__ import annotations

import pytest

from mimic_ray.base.errors import RunFolderError
from mimic_ray.store.lease import LEASE
from mimic_ray.store.run_store import open_run


@pytest.fixture
def commands(location):
    """Two commands that work on the same run, from two machines."""
    opened = [open_run(location, name) for name in ("first", "second")]
    for run in opened:
        run.folder.path.mkdir(parents=True, exist_ok=True)
    yield opened
    for run in opened:
        run.store.close()


def test_the_later_command_takes_the_run_over(commands, location):
    first, second = commands
    first.lease.take()
    first.lease.check(first.lease.token)
    second.lease.take()
    second.lease.check(second.lease.token)
    with pytest.raises(RunFolderError, match=f"Another command has taken over {location}"):
        first.lease.check(first.lease.token)


def test_without_a_token_nothing_is_checked(commands):
    first, second = commands
    second.lease.take()
    first.lease.check("")


def test_only_the_holder_releases_the_lease(commands):
    first, second = commands
    first.lease.take()
    second.lease.take()
    first.lease.release()
    assert second.store.read(LEASE) is not None
    second.lease.release()
    assert second.store.read(LEASE) is None
    with pytest.raises(RunFolderError):  # a deleted run has no holder
        second.lease.check(second.lease.token)
