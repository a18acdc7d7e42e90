"""A run folder with an example record."""

from __future__ import annotations

from pathlib import Path

import pytest

from mimic_ray.store.run_folder import RunFolder
from mimic_ray.store.run_record import RunRecord


@pytest.fixture
def record() -> RunRecord:
    return RunRecord(
        command="mimic-ray purify --encoder tiny_resnet --teacher suspect.pth --data images",
        encoder="tiny_resnet",
        teacher="suspect.pth",
        teacher_sha256="ab" * 32,
        data="images",
        data_fingerprint="cd" * 32,
        images=2000,
        seed=7,
        compute={"device": "cpu", "precision": "fp32", "threads": 1},
    )


@pytest.fixture
def folder(tmp_path: Path, record: RunRecord) -> RunFolder:
    return RunFolder.create(tmp_path / "run", record)
