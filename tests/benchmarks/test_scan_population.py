"""The population: all kinds of triggers in any first part, and pairs that start from one file."""

from __future__ import annotations

import pytest

from benchmarks.scan_population import KINDS, members
from mimic_ray.attacks.triggers.trigger import make_trigger

POPULATION = members(80, seed=0)


def test_pairs_share_the_public_encoder_and_the_images():
    for attacked, benign in zip(POPULATION[::2], POPULATION[1::2], strict=True):
        assert (attacked.attacked, benign.attacked) == (True, False)
        assert (attacked.start, attacked.seed) == (benign.start, benign.seed)
        assert not benign.trigger


def test_any_five_pairs_in_a_row_have_all_kinds():
    kinds = [member.kind for member in POPULATION if member.attacked]
    assert all({*kinds[start : start + 5]} == {*KINDS} for start in range(len(kinds) - 4))


def test_architectures_and_targets_are_mixed_within_each_kind():
    for kind in KINDS:
        some = [member for member in POPULATION if member.kind == kind]
        assert len({member.encoder for member in some}) == 3
        assert len({member.target for member in some}) >= 5


@pytest.mark.parametrize("member", POPULATION[::2], ids=lambda member: member.name)
def test_every_trigger_is_valid_and_changes_images(member):
    trigger = make_trigger(member.trigger, 32)
    assert trigger.add.abs().max() > 0 or trigger.mask.min() < 1


def test_the_same_seed_gives_the_same_population_and_another_seed_another():
    assert members(80, seed=0) == POPULATION
    assert members(80, seed=1) != POPULATION
    assert len({member.trigger for member in POPULATION[::2]}) == 80
