"""The cost of a run from the pace of one image. A run is the same with and without the probe."""

from __future__ import annotations

import pytest
import torch

from mimic_ray import Resources, purify
from mimic_ray.base.errors import UsageError
from mimic_ray.base.files import sha256
from mimic_ray.encoders.encoder_registry import build
from mimic_ray.evaluation.suspicion.suspicion import suspicion_forwards, trusted_forwards
from mimic_ray.execution.step_probe import Pace
from mimic_ray.method.recipe import Recipe
from mimic_ray.planning.run_cost import Cost, CostPart
from mimic_ray.scanning.openings import SCAN_FORWARDS
from mimic_ray.workflows import cost_estimate, search_request
from mimic_ray.workflows.cost_estimate import CostEstimate
from mimic_ray.workflows.search_request import SearchRequest, search_spec
from tests.cli.toy_images import save_checkpoint, save_images

LOCAL = Resources(local=True)
STEP_S, FORWARD_S, FP32_S, SHARED_S = 1e-2, 1e-3, 2e-3, 5e-4
RECIPE = Recipe(
    training={"steps": 10, "batch": 8, "precision": "fp32"}, mutual_information={"images": 16}
)


@pytest.fixture
def known_pace(monkeypatch):
    spec = build("tiny_resnet").spec
    pace = Pace(spec, STEP_S, FORWARD_S, FP32_S, 1e6, 7_000_000, 0.5)
    monkeypatch.setattr(cost_estimate, "probe", lambda *_: pace)
    monkeypatch.setattr(cost_estimate, "forward_s", lambda *_: SHARED_S)
    monkeypatch.setattr(cost_estimate, "resident_bytes", lambda: 100_000_000)


@pytest.mark.usefixtures("known_pace")
def test_a_purification_is_its_steps_its_profile_and_its_check():
    cost = CostEstimate("tiny_resnet", RECIPE, "cpu", 1).purification(RECIPE, 20, LOCAL)
    training, forwards = cost.parts
    assert (training.images, forwards.images) == (80, 2 * 16 + 2 * 20)
    assert training.seconds == pytest.approx(80 * STEP_S)
    assert forwards.seconds == pytest.approx(32 * FP32_S + 40 * FORWARD_S)
    pixels = 3 * 20 * build("tiny_resnet").spec.input_size ** 2
    assert cost.memory_bytes == 100_000_000 + 7_000_000 + 8 * 1e6 + pixels


@pytest.mark.usefixtures("known_pace")
def test_recorded_views_take_the_teacher_out_of_the_steps():
    fixed = Recipe(**{**RECIPE.model_dump(), "views": {"fixed": 2}})
    estimate = CostEstimate("tiny_resnet", fixed, "cpu", 1)
    training, forwards = estimate.purification(fixed, 20, LOCAL).parts
    assert training.seconds == pytest.approx(80 * (STEP_S - FORWARD_S))
    assert forwards.images == 2 * 16 + 2 * 20 + 2 * 20


@pytest.mark.usefixtures("known_pace")
def test_a_scan_at_the_end_is_counted_where_there_will_be_one():
    estimate = CostEstimate("tiny_resnet", RECIPE, "cpu", 1)
    long = Recipe(training={"precision": "fp32"})

    def images(recipe, number, scan):
        return estimate.purification(recipe, number, LOCAL, scan).images

    scans = 2 * SCAN_FORWARDS["full"]
    assert images(RECIPE, 20, True) - images(RECIPE, 20, False) == scans
    assert images(RECIPE, 20, None) == images(RECIPE, 20, False)  # too short to purify
    assert images(long, 2000, None) - images(long, 2000, False) == scans


@pytest.mark.usefixtures("known_pace")
def test_workers_share_the_time_and_each_needs_memory():
    estimate = CostEstimate("tiny_resnet", RECIPE, "cpu", 1)
    one = estimate.purification(RECIPE, 20, LOCAL)
    two = estimate.purification(RECIPE, 20, Resources(workers=2))
    assert two.parts[0].seconds == pytest.approx(one.parts[0].seconds / 2)
    assert two.memory_bytes > one.memory_bytes + 7_000_000
    assert two.cores == 2


@pytest.mark.usefixtures("known_pace")
@pytest.mark.parametrize("effort", ["quick", "full"])
def test_a_search_is_its_preparation_and_the_rounds_of_its_trials(monkeypatch, effort):
    monkeypatch.setattr(cost_estimate, "this_machine", lambda: {"CPU": 4.0, "GPU": 0.0})
    monkeypatch.setattr(search_request, "this_machine", lambda: {"CPU": 4.0, "GPU": 0.0})
    request = SearchRequest("tiny_resnet", "t", "d", recipe=RECIPE, trials=6, effort=effort)
    spec = search_spec(request)
    cost = CostEstimate("tiny_resnet", spec.base, "cpu", 1, 4).search(request, spec, 400)
    preparation, trials = cost.parts
    recorded = 4 * 320 if 6 * spec.base.training.steps * 8 > 4 * 320 else 0
    shared = 2 * 16 + recorded + 80 + trusted_forwards(1, effort)
    shared += SCAN_FORWARDS[spec.base.openings.effort]
    assert preparation.images == shared
    assert preparation.seconds == pytest.approx(shared * SHARED_S)
    scored = suspicion_forwards(effort) + 2 * suspicion_forwards("quick") + 3 * 80
    seen = 8 * spec.base.training.steps
    trial_s = seen * STEP_S + scored * FORWARD_S
    assert trials.seconds == pytest.approx(2 * trial_s)  # six trials, four at a time
    assert trials.images == 6 * (seen + scored)
    assert spec.base.training.steps == {"full": 10, "quick": 4}[effort]


def test_the_number_of_threads_is_what_it_was():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        CostEstimate("tiny_resnet", RECIPE, "cpu", 1, 1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def purified(tmp_path, name, **options):
    if not (tmp_path / "images").exists():
        save_images(tmp_path / "images", 6, seed=0)
    return purify(
        "tiny_resnet",
        save_checkpoint(tmp_path / "suspect.safetensors"),
        tmp_path / "images",
        tmp_path / name,
        recipe=RECIPE,
        resources=LOCAL,
        threads=1,
        **options,
    )


class NoEstimate:
    """Stands in for CostEstimate, and times nothing."""

    def __init__(self, *_):
        self.cost = Cost((CostPart("training", 1, 1e9),), 1.0, 0.0, 1, 0.0)

    def purification(self, *_):
        return self.cost


def test_a_run_has_the_same_bits_with_and_without_the_probe(tmp_path, monkeypatch):
    monkeypatch.setenv("MIMIC_RAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cost_estimate, "_SHORT_PIXELS", 0)
    reported = []
    probed = purified(tmp_path, "probed", on_cost=reported.append)
    assert (
        reported[0].parts[0].images
        == probed.record.cost["images"] - reported[0].parts[1].images
        == 80
    )
    monkeypatch.setattr(cost_estimate, "CostEstimate", NoEstimate)
    with pytest.raises(UsageError, match="more than a day"):
        purified(tmp_path, "plain")
    assert not (tmp_path / "plain").exists()
    purified(tmp_path, "plain", yes=True)
    for file in ("student.safetensors", "recipe.toml", "profile.parquet"):
        assert sha256(tmp_path / "plain" / file) == sha256(tmp_path / "probed" / file)


def test_a_run_that_ends_before_its_steps_could_be_timed_has_no_estimate(tmp_path, monkeypatch):
    monkeypatch.setenv("MIMIC_RAY_CACHE", str(tmp_path / "cache"))
    reported = []
    assert purified(tmp_path, "short", on_cost=reported.append).record.cost == {}
    assert reported == []


def test_quick_effort_is_recorded_with_the_run(tmp_path, monkeypatch):
    monkeypatch.setenv("MIMIC_RAY_CACHE", str(tmp_path / "cache"))
    made = purified(tmp_path, "quick", effort="quick")
    assert (made.record.effort, made.record.step) == ("quick", 4)
    assert (tmp_path / "quick" / "recipe.toml").read_text().startswith("# effort quick: a third")
    assert "| Effort | quick: a third of" in (tmp_path / "quick" / "README.md").read_text()
    full = purified(tmp_path, "full").run
    assert "Effort" not in (full / "README.md").read_text()
