"""Disks that are really full: a sentence, never a signal, and what was committed stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mimic_ray.base import files
from mimic_ray.base.errors import DiskFullError
from mimic_ray.store.checkpoint import commit, latest
from mimic_ray.store.metrics_log import MetricsLog, read_metrics
from mimic_ray.store.run_folder import RunFolder
from tests.cli.toy_images import save_images
from tests.store.small_disk import fill, small_disk


def state(step: int) -> dict:
    return {"step": step, "weights": torch.full((75_000,), float(step))}  # 300 kB


def log_until_full(folder: RunFolder, disk: Path) -> None:
    with MetricsLog(folder) as metrics:
        metrics.append({"step": 1, "loss": 1.0})
        fill(disk)
        for step in range(2, 1000):  # the last block may have room for some
            metrics.append({"step": step, "loss": 1.0})


def leftovers(folder: RunFolder) -> list[Path]:
    return [*folder.path.rglob(".*.tmp-*")]


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(tmp_path, record):
    with small_disk(tmp_path / "disk", 800) as disk:
        folder = RunFolder.create(disk / "run", record)
        commit(folder, 1, state(1))
        commit(folder, 2, state(2))
        with pytest.raises(DiskFullError, match="No space left on the disk of"):
            commit(folder, 3, state(3))
        assert not leftovers(folder)
        found = latest(folder)
        assert found is not None
        assert found.step == 2
        assert torch.equal(found.state["weights"], state(2)["weights"])


def test_on_a_disk_that_fills_up_each_kind_of_file_stays_whole(tmp_path, record):
    with small_disk(tmp_path / "disk", 4096) as disk:
        folder = RunFolder.create(disk / "run", record)
        commit(folder, 1, state(1))
        before = folder.record.read_bytes()
        with pytest.raises(DiskFullError):
            log_until_full(folder, disk)
        with pytest.raises(DiskFullError):
            commit(folder, 2, state(2))
        with pytest.raises(DiskFullError):
            record.write(folder.record)
        with pytest.raises(DiskFullError):
            files.write_bytes(folder.student, bytes(10_000))
        assert folder.record.read_bytes() == before
        assert not folder.student.exists()
        assert not leftovers(folder)
        (disk / "ballast").unlink()
        with MetricsLog(folder, 1):
            assert [row["step"] for row in read_metrics(folder)] == [1]
        commit(folder, 2, state(2))
        found = latest(folder)
        assert found is not None
        assert found.step == 2


DECODE = """
import sys
from pathlib import Path
from mimic_ray.base.errors import MimicError
from mimic_ray.data.decoded_set import open_pixels
from mimic_ray.data.image_source import open_images
from tests.store.small_disk import fill

images, cache, when = sys.argv[1:]
try:
    pixels = open_pixels(open_images(images), 32, memory_limit_bytes=0, cache_folder=Path(cache))
    if when == "later":
        fill(Path(cache))
    pixels.decode_all()
    print("decoded", len(pixels))
except MimicError as error:
    print(error)
"""


@pytest.mark.parametrize(("size_kib", "when"), [(64, "before"), (4096, "later")])
def test_decoding_onto_a_full_disk_is_no_signal(tmp_path, size_kib, when):
    """In a process of its own: a write into a map without blocks ends it by SIGBUS."""
    save_images(tmp_path / "images", 40, seed=0)  # 360 kB decoded
    with small_disk(tmp_path / "disk", size_kib) as disk:
        done = subprocess.run(
            [sys.executable, "-c", DECODE, str(tmp_path / "images"), str(disk), when],
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONPATH": "."},
        )
    assert done.returncode == 0, done.stderr
    expected = "decoded 120" if when == "later" else "Set MIMIC_RAY_CACHE"
    assert expected in done.stdout
