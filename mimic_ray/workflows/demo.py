"""Attacks, purifies and evaluates a real encoder in three minutes, and checks the result.

The data is part of the package; demo_data/README.md has its sources and licences.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mimic_ray.base.errors import MimicError
from mimic_ray.base.progress import ProgressCallback, ignore_progress
from mimic_ray.base.resources import Resources
from mimic_ray.evaluation.results import Evaluation, EvaluationRow, Proportion
from mimic_ray.weight_files import sandbox
from mimic_ray.workflows.attack import attack
from mimic_ray.workflows.demo_size import demo_size
from mimic_ray.workflows.evaluate import evaluate
from mimic_ray.workflows.evaluated_encoders import REFERENCE
from mimic_ray.workflows.purify import purify

DATA = Path(__file__).resolve().parents[1] / "demo_data"
ENCODER, TARGET, TRIGGER = "cifar_resnet20", "truck", "patch"

# The expected results, as shares.
ATTACKED_ASR, ASR_OVER_FLOOR, ACC_LOST = 0.90, 0.10, 0.03


class DemoError(MimicError):
    """The results of the demo are worse than expected."""


@dataclass(frozen=True)
class Demo:
    """`folder` contains attacked/ and the run folder purified/."""

    folder: Path
    run: Path
    evaluation: Evaluation
    steps: int  # of the purification
    scan: Mapping[str, Any]  # before and after, as in run.json
    seconds: float


def demo(
    folder: Path,
    on_progress: ProgressCallback = ignore_progress,
    on_part: Callable[[str], None] = lambda sentence: None,
) -> Demo:
    """Creates `folder`. Calls `on_part` with a sentence about the sizes and each part.

    The sizes are chosen so that it ends in three minutes on two ordinary cores; see demo_size.py.
    """
    start = time.monotonic()
    size, pace = demo_size(ENCODER)
    on_part(size.sentence(pace))
    clean = DATA / "resnet20-cifar10.th"
    with sandbox.shared():  # one child process reads all the checkpoints
        on_part(
            "1/3  Attack: BadEncoder on a third-party ResNet-20; trigger: white corner patch; "
            f"target class: {TARGET}"
        )
        attacked = attack(
            ENCODER,
            clean,
            DATA / "clean.tar.gz",
            folder / "attacked",
            trigger=TRIGGER,
            target=TARGET,
            settings={"steps": size.attack_steps, "batch": size.attack_batch},
            threads=size.threads,
            on_progress=on_progress,
        )
        on_part("2/3  Purify: 2,000 unlabelled images (4 %), in this process, trigger unknown")
        purified = purify(
            ENCODER,
            attacked.checkpoint,
            DATA / "clean.tar.gz",
            folder / "purified",
            # The default recipe does not use the profile.
            settings=[f"training.steps={size.purify_steps}", "mutual_information.images=256"],
            resources=Resources(cpus_per_worker=size.threads),
            scan=True,
            on_progress=on_progress,
        )
        on_part("3/3  Evaluate: 3 classifier heads on each encoder, 1,250 test images")
        found = evaluate(
            {"attacked": attacked.checkpoint, "purified": purified.run},
            DATA / "head.tar.gz",
            DATA / "test.tar.gz",
            encoder=ENCODER,
            reference=clean,
            trigger=TRIGGER,
            target=TARGET,
            heads=["linear"],
            seeds=3,
            into=purified.run,
            threads=size.threads,
            on_progress=on_progress,
        )
    return Demo(
        folder,
        Path(purified.run),
        found,
        size.purify_steps,
        purified.record.scan,
        time.monotonic() - start,
    )


def check_results(evaluation: Evaluation) -> list[str]:
    """The expected results, one line each. Raises DemoError with the ones that are not met."""
    rows = {row.encoder: row for row in evaluation.rows}
    attacked, purified = rows["attacked"], rows["purified"]
    floor = _share(rows[REFERENCE], "asr_b")
    promises = [
        (
            f"attacked ASR {_share(attacked, 'asr'):.1%} is at least {ATTACKED_ASR:.0%}",
            _share(attacked, "asr") >= ATTACKED_ASR,
        ),
        (
            f"purified ASR {_share(purified, 'asr'):.1%} is within {100 * ASR_OVER_FLOOR:.0f} "
            f"points of the never-attacked encoder's {floor:.1%}",
            _share(purified, "asr") <= floor + ASR_OVER_FLOOR,
        ),
        (
            f"purified ACC {purified.acc.share:.1%} is within {100 * ACC_LOST:.0f} points of the "
            f"attacked encoder's {attacked.acc.share:.1%}",
            purified.acc.share >= attacked.acc.share - ACC_LOST,
        ),
    ]
    if broken := [promise for promise, kept in promises if not kept]:
        raise DemoError(f"The demo's results are not as expected. Not true: {'; '.join(broken)}.")
    return [promise for promise, _ in promises]


def _share(row: EvaluationRow, measure: str) -> float:
    found: Proportion | None = getattr(row, measure)
    return found.share if found else float("nan")
