"""A real purification whose disk fails or is full at every operation on its folder.

What must hold: the run goes on or ends with one sentence, and the same command with --resume ends
with the weights of a run that was not disturbed, bit for bit.
"""

from __future__ import annotations

import errno
import shutil

import pytest

from tests.end_to_end.forked_runs import Runs
from tests.store.small_disk import small_disk


def failing_at(runs: Runs, call: int, fault: int) -> str | None:
    """What is wrong after that errno at that operation, once.

    A run may end well all the same, where what failed only shows how far it is.
    """
    out = runs.place / f"fault-{call}"
    ended = runs.run(out, fails_at=call, fault=fault)
    said = (runs.place / "log").read_text()
    found = None
    sentence = said.startswith("error: ") and said.count("\n") == 1
    if ended.status not in (0, 1) or (ended.status == 1 and not sentence):
        found = f"ended with {ended.status}: {said}"
    elif "fault of mimic-ray" in said:
        found = said
    found = found or runs.damage(out)
    shutil.rmtree(out, ignore_errors=True)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("share", "fault"), [(0.4, errno.ENOSPC), (0.8, errno.EIO)])
def test_a_disk_that_fails_once_is_a_sentence_and_the_run_goes_on(runs, share, fault):
    assert failing_at(runs, int(share * runs.calls), fault) is None


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.2, 0.4, 0.6, 0.8])
def test_a_run_goes_on_after_its_disk_was_really_full(runs, share):
    with small_disk(runs.place / "disk", 80 << 10) as disk:
        out = disk / "run"
        ended = runs.run(out, fails_at=int(share * runs.calls), fault=-1)
        said = (runs.place / "log").read_text()
        # What an older checkpoint gives back may be enough for the rest.
        assert ended.status == 0 or said.startswith("error: No space left on the disk of")
        assert ended.status == 0 or said.count("\n") == 1
        (disk / "ballast").unlink()
        assert runs.damage(out) is None


@pytest.mark.slow
@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO])
def test_wherever_a_disk_fails_the_run_goes_on(runs, fault):
    damage = {call: failing_at(runs, call, fault) for call in range(1, runs.calls + 1)}
    assert {call: found for call, found in damage.items() if found} == {}
