"""What rank 0 makes before the first step: it reports after each batch, and hears a stop there."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import StoppedError
from mimic_ray.execution.distill_job import DistillJob
from mimic_ray.execution.preparation import Preparation
from mimic_ray.execution.shared_inputs import ArrayImages
from mimic_ray.execution.training_control import LocalControl
from mimic_ray.method.collectives import ProcessGroup
from mimic_ray.method.recipe import parse_recipe
from mimic_ray.method.student_start import untrained

NAME = "tiny_resnet"
CPU = Compute("cpu", "fp32", 1)
RECIPE = parse_recipe(
    {"training": {"steps": 4, "batch": 4}, "openings": {"effort": "quick", "kept": 2}}
)
PHASES = ("profile", "openings")


@dataclass(frozen=True)
class Group(ProcessGroup):
    """Rank 0 of several; counts what it lets the others know."""

    signs: list[int] = field(default_factory=list)

    def from_first(self, make):
        return make(lambda: self.signs.append(1))


class Written:
    """The progress file."""

    def __init__(self):
        self.phases = []

    def phase(self, name, done, total):
        self.phases.append((name, done, total))


@pytest.fixture(scope="module")
def teacher():
    return untrained(NAME, 3)


@pytest.fixture(scope="module")
def images():
    pixels = np.random.default_rng(0).integers(0, 256, (72, 3, 32, 32), dtype=np.uint8)
    return ArrayImages(pixels)


def made(phase, teacher, images, control, group=None, written=None):
    job = DistillJob("", NAME, "", RECIPE)
    written = written or Written()
    prepare = Preparation(job, group or ProcessGroup(), CPU, control, written)
    make = {"profile": prepare.make_profile, "openings": prepare.find_openings}[phase]
    return make(teacher, images, None)


@pytest.mark.parametrize("phase", PHASES)
def test_each_batch_is_reported_to_the_command_the_file_and_the_other_workers(
    teacher, images, phase
):
    shown, group, written = [], Group(world_size=2), Written()
    made(phase, teacher, images, LocalControl(shown.append), group, written)
    told = [(progress.phase, progress.done, progress.total) for progress in shown]
    assert told == written.phases
    assert len(group.signs) == len(told)
    assert {phase for phase, *_ in told} == {phase}
    assert told[-1][1] == told[-1][2]


def test_the_search_for_openings_reports_more_often_where_batches_are_small(
    teacher, images, monkeypatch
):
    counts = []
    for most in (256, 8):
        monkeypatch.setattr("mimic_ray.evaluation.suspicion.frozen._BATCH_IMAGES", most)
        shown = []
        made("openings", teacher, images, LocalControl(shown.append))
        counts.append(len(shown))
    assert counts[1] > 3 * counts[0] > 100


@pytest.mark.parametrize("phase", PHASES)
def test_a_stop_request_ends_the_work_at_the_next_batch(teacher, images, phase):
    shown = []
    control = LocalControl(shown.append, lambda: len(shown) >= 3)
    with pytest.raises(StoppedError, match="before the first step"):
        made(phase, teacher, images, control)
    assert len(shown) == 3


def test_another_worker_reports_nothing_and_gets_what_rank_0_made(images):
    class Other(ProcessGroup):
        def broadcast(self, _):
            return True, "made by rank 0"

    job = DistillJob("", NAME, "", RECIPE)
    control = LocalControl(lambda progress: pytest.fail("reported"))
    prepare = Preparation(job, Other(rank=1, world_size=2), CPU, control, None)
    for make in (prepare.make_profile, prepare.find_openings):
        assert make(None, images, None) == "made by rank 0"


def test_a_checkpoint_has_what_was_made(teacher, images):
    kept = SimpleNamespace(state={"openings": None})
    job = DistillJob("", NAME, "", RECIPE)
    prepare = Preparation(job, ProcessGroup(), CPU, LocalControl(), None)
    assert prepare.find_openings(teacher, images, kept) is None
    found = made("openings", teacher, images, LocalControl())
    kept.state["openings"] = found.state()
    assert torch.equal(prepare.find_openings(teacher, images, kept).masks, found.masks)
