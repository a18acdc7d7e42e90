import pytest
import torch

from mimic_ray.base import seeds
from mimic_ray.data.perturbations.perturbation_registry import PERTURBATIONS
from mimic_ray.method.losses.weighted_terms import uses_second_view, weighted_terms
from mimic_ray.method.recipe import parse_recipe
from mimic_ray.method.student_teacher_views import (
    PairMaker,
    choose_donors,
    drawn_perturbations,
    perturb,
)
from tests.method.small import Images

SIDE = 16


def pixels(count=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, SIDE, SIDE), generator=generator).byte()


def donors():
    return pixels(5, seed=9).float() / 255


def keys(count=12):
    return seeds.keys(0, torch.arange(count))


def make_pair(pixels, keys, recipe):
    second = uses_second_view(weighted_terms(recipe.loss).values())
    drawn = drawn_perturbations(recipe)
    return PairMaker(recipe, SIDE, donors(), drawn, second).make(pixels, keys)


def test_the_teacher_sees_the_plain_image_and_the_student_a_perturbed_one():
    pair = make_pair(pixels(), keys(), parse_recipe({}))
    plain = parse_recipe({"perturbations": {n: {"probability": 0.0} for n in PERTURBATIONS}})
    expected = make_pair(pixels(), keys(), plain)
    assert torch.equal(pair.teacher, expected.teacher)
    assert not torch.equal(pair.student, pair.teacher)
    assert torch.equal(expected.student, expected.teacher)


def test_symmetric_views_show_both_the_same():
    recipe = parse_recipe(
        {"views": {"asymmetric": False}, "adversary": {"share": 0.0}, "openings": {"share": 0.0}}
    )
    pair = make_pair(pixels(), keys(), recipe)
    assert pair.teacher is pair.student


def test_the_second_view_is_made_only_for_the_contrastive_term():
    assert make_pair(pixels(), keys(), parse_recipe({})).second is None
    recipe = parse_recipe({"loss": {"contrastive": 1.0}, "views": {"kind": "simclr"}})
    second = make_pair(pixels(), keys(), recipe).second
    assert second is not None
    assert second.shape == (12, 3, SIDE, SIDE)


@pytest.mark.parametrize("kind", ["flip_and_shift", "simclr"])
def test_an_image_s_views_do_not_depend_on_its_batch(kind):
    recipe = parse_recipe({"views": {"kind": kind}})
    whole = make_pair(pixels(), keys(), recipe)
    half = make_pair(pixels()[6:], keys()[6:], recipe)
    assert torch.allclose(whole.teacher[6:], half.teacher, atol=1e-6)
    assert torch.allclose(whole.student[6:], half.student, atol=1e-5)


def test_each_perturbation_gets_its_share_of_the_images():
    only = {name: {"probability": 0.0} for name in PERTURBATIONS}
    recipe = parse_recipe({"perturbations": {**only, "frequency": {"probability": 0.25}}})
    images = torch.rand(800, 3, SIDE, SIDE)
    drawn = drawn_perturbations(recipe)
    changed = perturb(images, keys(800), donors(), drawn) != images
    assert changed.flatten(1).any(dim=1).float().mean().item() == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize(
    ("images", "side", "expected"), [(300, 32, 256), (10, 32, 10), (90, 224, 83)]
)
def test_the_donors_are_about_50_megabytes_of_the_set(images, side, expected):
    donors = choose_donors(Images(images, side=side), side, torch.device("cpu"))
    assert donors.shape == (expected, 3, side, side)
