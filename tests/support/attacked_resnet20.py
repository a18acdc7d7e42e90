"""The public ResNet-20 of the demo, with a backdoor that is made here: a white patch."""

from __future__ import annotations

from pathlib import Path

import mimic_ray
from mimic_ray.workflows.demo import DATA

CLEAN, IMAGES = DATA / "resnet20-cifar10.th", DATA / "clean.tar.gz"


def attack_resnet20(folder: Path, *, steps: int, batch: int) -> Path | str:
    """The attacked checkpoint in a new `folder`; triggered images become trucks."""
    return mimic_ray.attack(
        "cifar_resnet20",
        CLEAN,
        IMAGES,
        folder,
        trigger="patch",
        target="truck",
        settings={"steps": steps, "batch": batch},
        threads=1,
    ).checkpoint
