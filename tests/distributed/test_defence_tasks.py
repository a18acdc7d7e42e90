"""Runs of defences as Ray tasks: with a double of Ray, and once on a real one."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import ResourceError, TrainingError
from mimic_ray.base.progress import ignore_progress
from mimic_ray.base.resources import Resources
from mimic_ray.defences.stop_rule import Contest, DefenceRun
from mimic_ray.distributed import defence_tasks
from mimic_ray.distributed.defence_tasks import Placement, run_as_tasks
from mimic_ray.encoders.encoder_registry import build
from mimic_ray.execution.defence_run import BlindInputs, NamedDefence, run_unit
from mimic_ray.execution.shared_inputs import ArrayImages
from tests.distributed.lost_head import World
from tests.support import toy_defences

FILE = Path(toy_defences.__file__)
CONTEST = Contest("default", {"default": (), "noise": (0.02, 2.0), "fails": ()}, (0, 1))


@pytest.fixture(scope="module")
def inputs() -> BlindInputs:
    torch.manual_seed(0)
    state = build("tiny_resnet").net.state_dict()
    images = np.random.default_rng(0).integers(0, 256, (40, 3, 32, 32), dtype=np.uint8)
    return BlindInputs(
        architecture="tiny_resnet",
        suspect={key: value.numpy() for key, value in state.items()},
        images=ArrayImages(images[:20]),
        held_out=ArrayImages(images[20:]),
        defences={name: NamedDefence(f"{FILE}:{name}", {}, "scale") for name in CONTEST.strengths},
        compute=Compute("cpu", "fp32", 1),
    )


class FakeRay:
    """Does each task when it is waited for, the last one first."""

    def __init__(self) -> None:
        self.submitted: list[DefenceRun] = []
        self.cancelled: list[object] = []
        self.options: dict[str, object] = {}
        self.errors: dict[str, Exception] = {}  # of all runs of a defence

    def remote(self, function):
        def submit(inputs, unit, *where):
            self.submitted.append(unit)
            return SimpleNamespace(unit=unit, do=lambda: function(inputs, unit, *where))

        def options(**given):
            self.options = given
            return SimpleNamespace(remote=lambda *args: _Reference(submit(*args)))

        return SimpleNamespace(options=options)

    def put(self, value):
        return value

    def wait(self, references, timeout):
        assert timeout > 0
        return [references[-1]], references[:-1]

    def get(self, reference):
        if error := self.errors.get(reference.task.unit.defence):
            raise error
        return reference.task.do()

    def cancel(self, reference, force):
        assert force
        self.cancelled.append(reference)


class _Reference:
    def __init__(self, task) -> None:
        self.task = task


@pytest.fixture
def fake(monkeypatch):
    made = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", made)
    monkeypatch.setattr(defence_tasks, "ray_session", lambda *args: nullcontext())
    monkeypatch.setattr(defence_tasks, "cluster_nodes", lambda: [{"CPU": 4.0}])
    return made


def compared(inputs, tmp_path, resources, stop_after=1000):
    results, weights = {}, {}

    def on_end(result, state):
        results[result.unit] = result
        weights[result.unit] = state

    run_as_tasks(
        inputs,
        lambda: CONTEST.wanted({unit: result.cosine for unit, result in results.items()}),
        on_end,
        Placement(resources, "cpu", 1, tmp_path / "ray.log"),
        CONTEST.most(),
        ignore_progress,
        should_stop=lambda: int(len(results) >= stop_after),
    )
    return results, weights


def check(results, weights, inputs):
    """The same runs and weights as one after another in this process."""
    expected = {}
    while wanted := CONTEST.wanted(expected):
        expected[wanted[0]] = run_unit(inputs, wanted[0])[0].cosine
    assert {unit: result.cosine for unit, result in results.items()} == pytest.approx(expected)
    _, encoder = run_unit(inputs, DefenceRun("noise", 0.02, 1))
    for key, value in encoder.net.state_dict().items():
        assert torch.equal(weights[DefenceRun("noise", 0.02, 1)][key], value)
    assert weights[DefenceRun("fails", None, 0)] == {}
    assert "no idea" in results[DefenceRun("fails", None, 0)].failure


def test_tasks_do_what_one_process_does(inputs, tmp_path, fake):
    check(*compared(inputs, tmp_path, Resources(cpus_per_worker=2)), inputs)
    assert fake.options == {"num_cpus": 2.0, "num_gpus": 0, "max_retries": 2}
    assert len(fake.submitted) == len({*fake.submitted}), "a run was submitted twice"


def test_runs_that_are_independent_are_submitted_before_one_has_ended(inputs, tmp_path, fake):
    compared(inputs, tmp_path, Resources(), stop_after=1)
    assert {unit for unit in fake.submitted if unit.defence == "default"} <= {*fake.submitted[:2]}


def test_a_stop_cancels_what_runs(inputs, tmp_path, fake):
    results, _ = compared(inputs, tmp_path, Resources(), stop_after=1)
    assert len(results) == 1
    assert len(fake.cancelled) == len(fake.submitted) - 1


def test_a_lost_head_ends_the_comparison_with_the_way_to_continue(
    inputs, tmp_path, fake, monkeypatch
):
    world = World()
    world.is_up = False

    def wait(references, timeout):
        world.now += timeout
        assert world.now < 45
        return [], references

    monkeypatch.setattr(fake, "wait", wait)
    monkeypatch.setattr(defence_tasks, "cluster_head", world.health_of)
    with pytest.raises(TrainingError, match=r"head of the cluster.*not answered.*resume=True"):
        compared(inputs, tmp_path, Resources(cpus_per_worker=1, address="10.0.0.1:6379"))


def test_a_cluster_that_fits_no_run_is_refused(inputs, tmp_path, fake):
    with pytest.raises(ResourceError, match="8 CPU"):
        compared(inputs, tmp_path, Resources(cpus_per_worker=8))
    assert fake.submitted == []


def test_an_error_of_ray_itself_ends_all_runs_and_names_the_log(inputs, tmp_path, fake):
    fake.errors["noise"] = RuntimeError("the cluster is full")
    with pytest.raises(TrainingError, match=r"the cluster is full.*ray\.log"):
        compared(inputs, tmp_path, Resources())


def test_a_run_whose_process_dies_again_and_again_fails_and_the_others_go_on(
    inputs, tmp_path, fake
):
    class WorkerCrashedError(Exception):
        """As Ray's, with its text."""

    fake.errors["noise"] = WorkerCrashedError(
        "The worker died unexpectedly while executing this task. Check python-core-worker-*.log."
    )
    results, weights = compared(inputs, tmp_path, Resources())
    died = {unit for unit, result in results.items() if result.died}
    assert died == {unit for unit in results if unit.defence == "noise"} != set()
    failure = results[DefenceRun("noise", 2.0, 0)].failure
    assert failure.startswith("its process died 3 times: its process was killed or crashed")
    assert "ray.log" in failure
    assert weights[DefenceRun("noise", 2.0, 0)] == {}
    assert results[DefenceRun("default", None, 1)].cosine > 0


@pytest.mark.filterwarnings("default")  # those of Ray itself
@pytest.mark.ray
@pytest.mark.slow
def test_a_real_ray_does_what_one_process_does(inputs, tmp_path):
    check(*compared(inputs, tmp_path, Resources(cpus_per_worker=1)), inputs)


@pytest.mark.filterwarnings("default")  # those of Ray itself
@pytest.mark.ray
@pytest.mark.slow
def test_a_real_ray_says_which_run_ends_its_process(inputs, tmp_path):
    dies = NamedDefence(f"{FILE}:ends_its_process", {}, "scale")
    results, _ = compared(
        replace(inputs, defences={**inputs.defences, "fails": dies}),
        tmp_path,
        Resources(cpus_per_worker=1),
    )
    assert [result.died for unit, result in results.items() if unit.defence == "fails"] == [
        True
    ] * 2
    assert "was killed or crashed" in results[DefenceRun("fails", None, 0)].failure
    assert results[DefenceRun("default", None, 1)].cosine > 0
