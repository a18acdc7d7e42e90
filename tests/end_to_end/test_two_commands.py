"""Two commands at one run: the later has it, and the earlier writes nothing more."""

from __future__ import annotations

import json

import pytest

from mimic_ray.base.storage import open_storage
from mimic_ray.store.lease import LEASE
from mimic_ray.store.metrics_log import read_metrics
from mimic_ray.store.progress_file import read_progress
from mimic_ray.store.run_store import reading
from tests.cli.toy_images import run
from tests.end_to_end.processes import start, wait_until

STEPS = 400


@pytest.fixture(params=["path", "s3"])
def out(request, tmp_path, monkeypatch) -> str:
    monkeypatch.setenv("MIMIC_RAY_CACHE", str(tmp_path / "cache"))
    if request.param == "s3":
        return f"{request.getfixturevalue('bucket')}/run"
    return str(tmp_path / "run")


@pytest.mark.slow
def test_the_later_command_has_the_run(out, purify_arguments):
    words = purify_arguments(out, "--local", "--commit-every", "50", steps=STEPS)
    earlier = start(out, words)
    wait_until(lambda: (live := read_progress(out)) and live.committed_step, earlier)
    # As after a node that was given up, and was only cut off. In this process, it starts at once.
    later = run([*words, "--resume"])
    _, said = earlier.communicate(timeout=120)
    assert earlier.returncode == 1
    assert f"Another command has taken over {out}: this one stops" in said
    assert later == 0
    record = json.loads(open_storage(out).read_bytes("run.json"))
    assert (record["status"], record["step"], record["error"]) == ("finished", STEPS, "")
    with reading(out) as folder:
        assert [row["step"] for row in read_metrics(folder)] == [*range(1, STEPS + 1)]
    assert not open_storage(out).exists(LEASE)
