"""A finished run folder with everything that a report reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from mimic_ray.evaluation.results import Evaluation, Proportion
from mimic_ray.method.mi_profile import Profile, TapScore
from mimic_ray.method.recipe import Recipe
from mimic_ray.store.metrics_log import MetricsLog
from mimic_ray.store.profile_file import write_profile
from mimic_ray.store.recipe_file import write_recipe
from mimic_ray.store.run_folder import RunFolder
from mimic_ray.store.run_record import RunRecord
from tests.support.evaluated import row


@pytest.fixture
def record() -> RunRecord:
    return RunRecord(
        command="mimic-ray purify --encoder tiny_resnet --teacher suspect.pth --data images",
        encoder="tiny_resnet",
        teacher="suspect.pth",
        teacher_sha256="ab" * 32,
        data="images",
        data_fingerprint="cd" * 32,
        images=1990,
        broken_images=10,
        seed=7,
        compute={"device": "cpu", "precision": "fp32", "threads": 1},
        status="finished",
        step=600,
        train_s=75.0,
        resumed_from=[100, 300],
    )


@pytest.fixture
def profile() -> Profile:
    taps = (
        TapScore("stem", 1.0, 0.25, False, 0.0, 0.5),
        TapScore("layer1", 3.0, 0.75, True, 1.5, 1.0),
    )
    return Profile(taps, of="teacher", estimator="gaussian", images=1990)


@pytest.fixture
def evaluation() -> Evaluation:
    floor = Proportion.of(9, 900)
    rows = (
        row("suspect", (810, 820), (873, 870), floor),
        row("purified", (830, 834), (20, 29), floor),
    )
    return Evaluation(rows, {"trigger": "patch", "target": "9 (truck)"})


@pytest.fixture
def folder(tmp_path: Path, record: RunRecord, profile: Profile) -> RunFolder:
    folder = RunFolder.create(tmp_path / "run", record)
    write_recipe(folder.recipe, Recipe())
    write_profile(folder.profile, profile)
    with MetricsLog(folder) as log:
        for step in range(1, 601):
            log.append({"step": step, "loss": 0.4 / step, "learning_rate": 0.004})
        log.to_parquet()
    folder.export.mkdir()
    (folder.export / "suspect.pth").touch()
    return folder
