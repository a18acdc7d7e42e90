"""The search finds a planted opening, measures it on other images, and repeats itself."""

from __future__ import annotations

import pytest
import torch

from mimic_ray.base.devices import Compute
from mimic_ray.encoders import forward_batches
from mimic_ray.scanning.answers import centred
from mimic_ray.scanning.changes import patch, wave
from mimic_ray.scanning.clusters import clusters
from mimic_ray.scanning.forward_count import WITH_GRADIENT
from mimic_ray.scanning.openings import (
    BUDGETS,
    FAMILIES,
    SCAN_FORWARDS,
    Images,
    find_openings,
    measured,
    search_forwards,
)
from tests.evaluation.suspicion.planted import encoder, images

CPU = Compute("cpu", "fp32", 1)
EVERY = images(96)
PARTS = Images(EVERY[::3], EVERY[1::3], EVERY[2::3])


def searched(strength, seed=0, effort="quick"):
    counted = []
    encode, real = centred(
        encoder(strength).requires_grad_(False), PARTS.bank, CPU, count=counted.append
    )
    counted.clear()
    found = find_openings(encode, real, clusters(real, 4, seed), PARTS, seed, effort)
    return found, counted


@pytest.fixture(scope="module")
def planted():
    return searched(40.0)


def best(found, family):
    return max(o.gathering for o in found if o.change.family == family)


def test_each_family_has_as_many_openings_as_the_budget_keeps(planted):
    found, _ = planted
    kept = BUDGETS["quick"].kept
    counts = {f: sum(o.change.family == f for o in found) for f in FAMILIES}
    assert counts["wave"] == counts["patch"] == kept
    assert all(counts.values())
    assert len(found) == BUDGETS["quick"].openings


@pytest.mark.parametrize("effort", ["quick", pytest.param("full", marks=pytest.mark.slow)])
def test_what_a_search_takes_is_known_before(planted, effort):
    _, counted = planted if effort == "quick" else searched(40.0, effort=effort)
    assert sum(counted) == search_forwards(PARTS, effort)


def test_the_forward_passes_of_a_cost_estimate_are_those_of_a_scan():
    """With as many images as a scan takes at most."""
    bank, search, held_out = (torch.zeros(count, 3, 32, 32) for count in (256, 32, 48))
    for effort, forwards in SCAN_FORWARDS.items():
        taken = 2 * len(bank) + search_forwards(Images(bank, search, held_out), effort)
        assert forwards == pytest.approx(taken, rel=0.02)


@pytest.mark.parametrize("large", [False, True])
def test_a_batch_is_small_where_images_take_long(planted, monkeypatch, large):
    """As for 224 pixels on a CPU: one change at a time, and one start of an ascent."""
    if large:
        monkeypatch.setattr(forward_batches, "_CPU_PIXELS", 9 * 32**2)
    budget = BUDGETS["quick"]
    found, counted = searched(40.0)
    alone = WITH_GRADIENT * budget.ascended_on
    assert (max(counted) <= alone) == large
    assert counted.count(alone) == large * budget.ascents * budget.steps
    assert [o.change.words for o in found] == [o.change.words for o in planted[0]]
    assert [o.gathering for o in found] == pytest.approx(
        [o.gathering for o in planted[0]], abs=1e-4
    )


def test_a_planted_square_stands_out_as_a_patch(planted):
    found, _ = planted
    clean, _ = searched(0.0)
    assert best(found, "patch") > 0.9
    assert best(found, "patch") > best(clean, "patch") + 0.2
    assert best(found, "free patch") > 0.9


def test_an_opening_tells_where_images_go(planted):
    found, _ = planted
    strongest = max(found, key=lambda o: o.gathering)
    assert strongest.sent > 0.9
    assert len(set(strongest.nearest)) == 5
    assert all(0 <= row < len(PARTS.bank) for row in strongest.nearest)


def test_the_same_seed_finds_the_same(planted):
    again, _ = searched(40.0)
    assert [(o.change.words, o.gathering) for o in again] == [
        (o.change.words, o.gathering) for o in planted[0]
    ]


def test_openings_are_sorted_and_measured_on_held_out_images_only():
    encode, real = centred(encoder(40.0).requires_grad_(False), PARTS.bank, CPU)
    changes = [wave(0, 2, 32), patch(4, 4, 8, 32, 1.0, "white")]
    strong, weak = measured(encode, real, clusters(real, 4, 0), PARTS.held_out, changes)
    assert (strong.change.family, weak.change.family) == ("patch", "wave")
    other = measured(encode, real, clusters(real, 4, 0), PARTS.held_out.flip(0), changes)
    assert other[0].gathering == pytest.approx(strong.gathering, abs=1e-5)
    assert torch.tensor([strong.sent, weak.sent]).ge(0.25).all(), "one of four clusters is largest"
