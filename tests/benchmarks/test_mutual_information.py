"""Variants differ in the weights of the layers only, and rows keep every outcome."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from benchmarks import mutual_information
from benchmarks.mutual_information import gradient_sums, purified, recipe_of, report
from mimic_ray.data.views import flip_and_shift, to_float
from mimic_ray.evaluation.outcomes import Outcomes
from mimic_ray.method.losses.weighted_terms import reads_taps
from mimic_ray.method.recipe import parse_recipe
from mimic_ray.method.recipe_keys import set_key
from tests.support.small_defence_inputs import defence_inputs, pixels


@pytest.mark.parametrize("base", ["default", "official"])
def test_variants_of_a_base_differ_in_the_attention_term_only(base):
    plain = recipe_of(base, "none", 7, seed=1)
    assert not reads_taps(plain.loss)
    for weights in ("uniform", "mi_teacher", "mi_student", "gradient"):
        tables = recipe_of(base, weights, 7, seed=1).model_dump()
        assert tables["loss"]["attention"]["weight"] == 1
        tables["mutual_information"] = plain.model_dump()["mutual_information"]
        set_key(tables, "loss.attention.weight", 0.0)
        assert parse_recipe(tables, base) == plain


def test_gradient_sums_have_the_closed_form_where_the_feature_is_the_mean_of_the_map():
    inputs = defence_inputs()
    images = to_float(pixels())
    feature, (last,) = inputs.suspect(images, taps=[inputs.suspect.spec.taps[-1]])
    assert torch.allclose(feature, last.mean(dim=(2, 3)), atol=1e-5)
    other = F.normalize(inputs.suspect(flip_and_shift(images, torch.arange(len(images)))), dim=1)
    unit, length = F.normalize(feature, dim=1), feature.norm(dim=1, keepdim=True)
    # d(1 - cos)/df = (cos n(f) - n(o)) / |f|, and each position has an equal part of it.
    slope = ((unit * other).sum(1, keepdim=True) * unit - other) / length
    expected = (last.mean(dim=(2, 3)) * slope).abs().sum()
    found = gradient_sums(inputs)
    assert found[-1] == pytest.approx(expected.item(), rel=1e-4)
    assert min(found) > 0


def test_the_weights_of_a_variant_follow_its_shares():
    inputs = defence_inputs(count=64)
    _, found = purified("official", "gradient", inputs, steps=1)
    sums = gradient_sums(inputs)
    expected = [1000 + 10_000 * each / sum(sums) for each in sums]
    assert [*found.values()] == pytest.approx(expected)
    assert purified("default", "none", inputs, steps=1)[1] == {}


def test_a_row_keeps_each_outcome_of_each_head():
    correct, hits = np.eye(3, 11, dtype=np.uint8), np.eye(3, 9, k=2, dtype=np.uint8)
    found = mutual_information.unpacked(mutual_information._packed(Outcomes(correct, hits)))
    assert (found.correct == correct).all()
    assert found.hits is not None
    assert (found.hits == hits).all()


def test_the_report_has_a_line_for_each_variant_with_its_seeds():
    ones, none = np.ones((1, 40), np.uint8), np.zeros((1, 30), np.uint8)
    packed = mutual_information._packed(Outcomes(ones, none))
    rows = [
        {
            "name": "000-attacked",
            "trigger": "patch:side=9",
            "steps": 5,
            "seed": seed,
            "base": "default",
            "weights": weights,
            "outcomes": {"public": packed},
            "cpu_s": 10 * seed,
        }
        for seed in (0, 1)
        for weights in ("none", "uniform")
    ]
    lines = report(rows).splitlines()
    assert lines[0] == "### 000-attacked: `patch:side=9`, 5 steps"
    assert lines[4].startswith("| default none | 2 | 100.0 (91.2-100.0) / 0.0 (0.0-11.4) | - | -")
    assert lines[4].endswith("| 5 |")
    assert lines[5].startswith("| default uniform | 2 |")
