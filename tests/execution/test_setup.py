"""The parts of a run before its first step."""

from __future__ import annotations

import pytest

from mimic_ray.base.devices import Compute
from mimic_ray.execution.setup import (
    Precomputed,
    cached_side,
    make_strategy,
    teacher_cache_pays,
)
from mimic_ray.method.collectives import ProcessGroup
from mimic_ray.method.recipe import parse_recipe
from mimic_ray.method.strategy import Replicated, SingleWorker
from mimic_ray.method.student_start import untrained

NAME = "tiny_resnet"


def recipe(**sections):
    return parse_recipe({"training": {"steps": 100, "batch": 8}, **sections})


def test_images_are_kept_larger_than_the_input_only_where_views_crop_them():
    assert cached_side(recipe(views={"kind": "simclr"}), 224) == 256
    assert cached_side(recipe(views={"kind": "simclr"}), 32) == 32
    assert cached_side(recipe(views={"kind": "flip_and_shift"}), 224) == 224


def test_cached_teacher_outputs_pay_only_if_steps_read_them_more_than_once():
    spec = untrained(NAME, 0).spec
    fixed = recipe(views={"fixed": 2})
    assert teacher_cache_pays(spec, images=100, recipe=fixed, taps=1)
    assert not teacher_cache_pays(spec, images=800, recipe=fixed, taps=1)
    assert teacher_cache_pays(spec, images=800, recipe=fixed, taps=1, runs=3)
    assert not teacher_cache_pays(spec, images=100, recipe=recipe(views={"fixed": 0}), taps=1)


class Cache:
    key = "views of seed 1"
    attention = ("stem", "stage")


@pytest.mark.parametrize(
    ("key", "taps", "usable"),
    [
        ("views of seed 1", [], True),
        ("views of seed 1", ["stage"], True),
        ("views of seed 1", ["head"], False),
        ("views of seed 2", [], False),
    ],
)
def test_a_teacher_cache_of_other_views_or_taps_is_not_used(key, taps, usable):
    precomputed = Precomputed(images=None, profile=None, teacher_cache=Cache())
    assert (precomputed.usable_teacher_cache(key, taps) is not None) == usable


def test_a_single_worker_needs_no_strategy():
    compute = Compute("cpu", "fp32", 1)
    assert isinstance(make_strategy("fsdp", "sharded", ProcessGroup(), compute), SingleWorker)
    several = ProcessGroup(rank=1, world_size=2)
    assert isinstance(make_strategy("ddp", "replicated", several, compute), Replicated)
