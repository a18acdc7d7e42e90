"""Proposals of changes; here `fits` is a simple rule instead of a plan."""

from __future__ import annotations

from mimic_ray.method.recipe import Recipe
from mimic_ray.planning.advice import advice
from mimic_ray.planning.hardware import find
from mimic_ray.planning.plan_request import PlanRequest
from mimic_ray.planning.strategy_cost import Cluster

CHECKPOINT = "training.checkpoint_activations=true"


def propose(fits, **fields):
    request = PlanRequest("resnet18", gpus=2, gpu="t4", batch=64, **fields)
    return advice(fits, request, Recipe(), Cluster(find("t4"), 2, "fp32", 0.4), 40)


def accumulate(changes) -> int:
    values = [s.split("=")[1] for s in changes.get("settings", ()) if "accumulate" in s]
    return int(values[0]) if values else 1


def test_every_single_change_that_fits_is_proposed():
    def fits(changes):
        fewer = changes.get("batch", 64) / accumulate(changes) <= 33
        return fewer or CHECKPOINT in changes.get("settings", ())

    assert propose(fits) == [
        {"batch": 32},  # neither 40 nor 36 fits
        {"settings": ("training.accumulate=2",)},
        {"settings": (CHECKPOINT,)},
    ]


def test_another_strategy_is_proposed_only_if_one_was_requested():
    def fits(changes):
        return changes.get("strategy") == "fsdp" and "gpus" not in changes

    expected = {"strategy": "fsdp", "teacher_placement": "replicated"}
    assert propose(fits, strategy="ddp") == [expected]
    assert propose(fits) == []


def test_bf16_is_proposed_only_on_cards_where_it_is_faster():
    def fits(changes):
        return changes.get("settings") == ("training.precision=bf16",)

    request = PlanRequest("resnet18", gpus=2, batch=64)
    for card, expected in (("h100", [{"settings": ("training.precision=bf16",)}]), ("t4", [])):
        cluster = Cluster(find(card), 2, "fp32", 0.4)
        assert advice(fits, request, Recipe(), cluster, 40) == expected


def test_several_changes_or_more_hardware_are_proposed_only_if_no_single_change_fits():
    def fits(changes):
        both = accumulate(changes) >= 4 and CHECKPOINT in changes.get("settings", ())
        return both or changes.get("gpus", 2) >= 7 or changes.get("gpu") == "h100"

    assert propose(fits) == [
        {"settings": (CHECKPOINT, "training.accumulate=4")},
        {"gpus": 8, "strategy": "fsdp", "teacher_placement": "sharded"},
        {"gpu": "h100"},
    ]


def test_nothing_is_proposed_if_nothing_fits():
    assert propose(lambda changes: False) == []
