"""A search on a head whose autoscaler starts nodes of one CPU on this machine."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mimic_ray.store.study_folder import StudyFolder, read_trials
from tests.cli.toy_images import save_images
from tests.end_to_end.local_head import local_head

pytestmark = [pytest.mark.ray, pytest.mark.slow]

# Prints, whenever it changes, how many trials have room and how many run.
SEARCH = """
import sys
import mimic_ray

seen = []

def show(progress):
    now = progress.concurrent, len(progress.running)
    if now not in seen:
        seen.append(now)
        print(*now, flush=True)

teacher, images, out, address = sys.argv[1:]
mimic_ray.tune(
    "tiny_resnet", teacher, images, out, trials=6, threads=1, held_out=0.4,
    settings=["training.steps=1500", "training.batch=8", "training.precision=fp32"],
    early_stopping=False, on_search_progress=show,
    resources=mimic_ray.Resources(address=address, capacity_timeout_s=300),
)
"""


def test_a_search_grows_past_its_first_node_and_no_further_than_declared(case, tmp_path):
    study, images = tmp_path / "study", save_images(tmp_path / "images", 30, seed=0)
    places = (str(case / "teacher.pth"), str(images), str(study))
    with local_head(cpus=0, grows_to=2, jobs=False) as head:
        done = subprocess.run(
            [sys.executable, "-c", SEARCH, *places, head.ray_address],
            env={**head.environment, "RAY_AUTH_MODE": "token"},
            capture_output=True,
            text=True,
            timeout=900,
        )
    log = study / "worker.log"
    assert done.returncode == 0, done.stderr[-3000:] + (log.read_text() if log.exists() else "")
    seen = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert seen[0][0] == 1  # one node came for the first trial
    assert (2, 2) in seen
    assert max(running for _, running in seen) == 2
    assert {trial.status for trial in read_trials(StudyFolder(study))} == {"finished"}
