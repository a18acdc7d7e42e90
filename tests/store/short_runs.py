"""Purifications of six steps in this process, a commit every second one."""

from __future__ import annotations

from pathlib import Path

import pytest

from mimic_ray.base.errors import DiskFullError
from tests.cli.toy_images import run, save_checkpoint, save_images


def make_inputs(folder: Path) -> Path:
    """The folder with images and a teacher in it."""
    save_images(folder / "images", 14, seed=0)
    save_checkpoint(folder / "teacher.safetensors")
    return folder


def purify(inputs: Path, out: Path, *more: str) -> int:
    return run(
        [
            *("purify", "--encoder", "tiny_resnet", "--teacher", inputs / "teacher.safetensors"),
            *("--data", inputs / "images", "--out", out, "--local", "--threads", "1"),
            *("--set", "training.steps=6", "--set", "training.batch=8", "--commit-every", "2"),
            *("--set", "training.precision=fp32", *more),
        ]
    )


def stop_at_the_end(inputs: Path, out: Path) -> None:
    """A run that has committed steps 2 and 4 of 6, as a full disk leaves it."""
    from mimic_ray.store import run_store

    def full(folder, step, state, commit=run_store.commit):
        if step == 6:
            raise DiskFullError("No space left.")
        commit(folder, step, state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_store, "commit", full)
        assert purify(inputs, out) == 1
