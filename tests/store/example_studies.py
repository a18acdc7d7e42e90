"""A study record, and trials of it."""

from __future__ import annotations

from typing import Any

from mimic_ray.search.trial import Trial
from mimic_ray.store.study_folder import StudyRecord


def study_record() -> StudyRecord:
    return StudyRecord(
        command="mimic-ray tune",
        encoder="tiny_resnet",
        teacher="suspect.pth",
        teacher_sha256="ab" * 32,
        data="images",
        data_fingerprint="cd" * 32,
        images=200,
        held_out=0.2,
        recipe={"training": {"steps": 40}},
        space={"loss.clone.weight": "uniform(0, 1)"},
        taps=["layer1"],
        shares=[1.0],
        trials=4,
        seed=0,
        oracle={},
        compute={},
    )


def example_trial(number: int = 0, **fields: Any) -> Trial:
    return Trial(f"{number:012x}", number, **{"status": "finished", "settings": {}, **fields})
