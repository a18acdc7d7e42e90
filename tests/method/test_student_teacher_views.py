import pytest
import torch

from mimic_ray.base import seeds
from mimic_ray.method.recipe import Perturbations, parse_recipe
from mimic_ray.method.student_teacher_views import donor_count, make_pair, perturb

SIDE = 16


def pixels(count=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, SIDE, SIDE), generator=generator).byte()


def donors():
    return pixels(5, seed=9).float() / 255


def keys(count=12):
    return seeds.keys(0, torch.arange(count))


def test_the_teacher_sees_the_plain_image_and_the_student_a_perturbed_one():
    pair = make_pair(pixels(), keys(), donors(), parse_recipe({}), SIDE)
    plain = parse_recipe({"perturbations": {n: {"probability": 0.0} for n in _families()}})
    expected = make_pair(pixels(), keys(), donors(), plain, SIDE)
    assert torch.equal(pair.teacher, expected.teacher)
    assert not torch.equal(pair.student, pair.teacher)
    assert torch.equal(expected.student, expected.teacher)


def test_symmetric_views_show_both_the_same():
    recipe = parse_recipe({"views": {"asymmetric": False}, "adversary": {"share": 0.0}})
    pair = make_pair(pixels(), keys(), donors(), recipe, SIDE)
    assert pair.teacher is pair.student


def test_the_second_view_is_made_only_for_the_contrastive_term():
    assert make_pair(pixels(), keys(), donors(), parse_recipe({}), SIDE).second is None
    recipe = parse_recipe({"loss": {"contrastive": 1.0}, "views": {"kind": "simclr"}})
    second = make_pair(pixels(), keys(), donors(), recipe, SIDE).second
    assert second is not None
    assert second.shape == (12, 3, SIDE, SIDE)


@pytest.mark.parametrize("kind", ["flip_and_shift", "simclr"])
def test_an_image_s_views_do_not_depend_on_its_batch(kind):
    recipe = parse_recipe({"views": {"kind": kind}})
    whole = make_pair(pixels(), keys(), donors(), recipe, SIDE)
    half = make_pair(pixels()[6:], keys()[6:], donors(), recipe, SIDE)
    assert torch.allclose(whole.teacher[6:], half.teacher, atol=1e-6)
    assert torch.allclose(whole.student[6:], half.student, atol=1e-5)


def test_each_family_gets_its_share_of_the_images():
    only = {name: {"probability": 0.0} for name in _families()}
    families = Perturbations.model_validate({**only, "frequency": {"probability": 0.25}})
    images = torch.rand(800, 3, SIDE, SIDE)
    changed = perturb(images, keys(800), donors(), families) != images
    assert changed.flatten(1).any(dim=1).float().mean().item() == pytest.approx(0.25, abs=0.05)


def test_the_pool_of_donors_depends_on_the_set_alone_and_stays_small():
    assert donor_count(2000, 32) == 256
    assert donor_count(10, 32) == 10
    assert donor_count(2000, 224) * 3 * 224 * 224 * 4 < 60 << 20


def _families():
    return list(Perturbations.model_fields)
