"""A comparison killed again and again, then resumed, has the rows of one that was not disturbed."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.cli.toy_images import run, save_checkpoint, save_images
from tests.end_to_end.processes import start, wait_until

DEFENCES = ("default:steps=3,batch=16", "fine_tuning:steps=3,batch=16", "batch_norm", "clp")
# What exists when it is killed, and how many of it: in the runs, and in the evaluation.
KILLED_AT = (("run.json", 1), ("run.json", 4), ("outcomes.npz", 1), ("outcomes.npz", 3))


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    save_images(folder / "clean", each=40, seed=0)
    save_images(folder / "train", each=20, seed=1)
    save_images(folder / "test", each=10, seed=2)
    save_checkpoint(folder / "suspect.safetensors")
    return folder


def arguments(toy: Path, out: Path) -> list[str]:
    return [
        *("compare", "--encoder", "tiny_resnet", "--teacher", str(toy / "suspect.safetensors")),
        *("--data", str(toy / "clean"), "--train", str(toy / "train")),
        *("--test", str(toy / "test"), "--trigger", "patch", "--target", "red"),
        *("--head", "linear", "--head-seeds", "1", "--no-lasting", "--seeds", "2"),
        *("--out", str(out), "--threads", "1", "--device", "cpu", "--yes"),
        *(word for defence in DEFENCES for word in ("--defence", defence)),
    ]


def rows(out: Path) -> list[dict]:
    """The rows without the seconds that they took."""
    found = json.loads((out / "comparison.json").read_text())["rows"]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in found]


@pytest.mark.slow
def test_a_comparison_killed_again_and_again_ends_as_if_it_had_not_been(toy):
    whole, killed = toy / "whole", toy / "killed"
    assert run(arguments(toy, whole)) == 0
    more: list[str] = []
    for name, number in KILLED_AT:
        process = start("killed", [*arguments(toy, killed), *more])
        wait_until(lambda n=name, k=number: len([*killed.rglob(n)]) >= k, process, 600)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "it was never killed"
        more = ["--resume"]
    assert run([*arguments(toy, killed), "--resume"]) == 0
    assert rows(killed) == rows(whole)
    assert [row["failure"] for row in rows(whole)] == [""] * len(rows(whole))
