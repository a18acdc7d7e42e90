"""The contract of all perturbations, and adding one."""

import inspect
import tomllib

import pytest
import torch
from torch.nn import functional as F

from mimic_ray.base import seeds
from mimic_ray.base.errors import UsageError
from mimic_ray.data.perturbations import perturbation_registry
from mimic_ray.data.perturbations.perturbation_registry import PERTURBATIONS
from mimic_ray.method.recipe import Recipe, check_recipe, parse_recipe
from mimic_ray.method.recipe_keys import known_keys
from mimic_ray.method.student_teacher_views import PairMaker, drawn_perturbations
from mimic_ray.search.space import default_space
from tests.user_example import write_example

ADDITIVE = ("blend", "frequency", "colour", "blur", "noise", "patch")


def keys(count, seed=0):
    return seeds.keys(seed, torch.arange(count))


def smooth_images(count, side, seed=0):
    """Smooth images, similar to photographs, with the same content at every side."""
    grid = torch.rand(count, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    return 0.2 + 0.6 * F.interpolate(grid, side, mode="bilinear", align_corners=False)


def changed(name, count=80, side=32, strength=1.0):
    perturbation = PERTURBATIONS.resolve(name)
    return perturbation(
        smooth_images(count, side), keys(count), smooth_images(7, side, seed=1), strength
    )


def test_the_list_is_the_whole_registry():
    assert list(PERTURBATIONS) == ["patch", "blend", "frequency", "colour", "warp", "blur", "noise"]


@pytest.mark.parametrize("name", list(PERTURBATIONS))
def test_the_signature_is_the_common_one(name):
    parameters = inspect.signature(PERTURBATIONS.resolve(name)).parameters
    assert list(parameters) == ["images", "keys", "donors", "strength"]
    assert parameters["strength"].default == 1.0


@pytest.mark.parametrize("name", list(PERTURBATIONS))
@pytest.mark.parametrize("side", [16, 32, 48, 224])
def test_every_image_changes_and_stays_in_the_unit_interval(name, side):
    count = 6 if side == 224 else 40
    images = changed(name, count, side)
    assert images.shape == (count, 3, side, side)
    assert images.dtype == torch.float32
    assert images.min() >= 0
    assert images.max() <= 1
    assert (images != smooth_images(count, side)).flatten(1).any(1).all()


@pytest.mark.parametrize("name", list(PERTURBATIONS))
def test_the_result_depends_only_on_image_key_and_donors(name):
    family, donors = PERTURBATIONS.resolve(name), smooth_images(7, 32, seed=1)
    images = smooth_images(50, 32)
    whole = family(images, keys(50), donors)
    parts = [family(images[p], keys(50)[p], donors) for p in (slice(13), slice(13, None))]
    assert (whole - torch.cat(parts)).abs().max() < 1e-6
    assert not torch.allclose(whole, family(images, keys(50, seed=1), donors))


@pytest.mark.parametrize("name", list(PERTURBATIONS))
def test_the_input_is_not_changed(name):
    images, donors = smooth_images(20, 32), smooth_images(7, 32, seed=1)
    PERTURBATIONS.resolve(name)(images, keys(20), donors)
    assert torch.equal(images, smooth_images(20, 32))
    assert torch.equal(donors, smooth_images(7, 32, seed=1))


@pytest.mark.parametrize("name", list(PERTURBATIONS))
def test_strength_scales_the_change_and_zero_is_the_identity(name):
    plain = smooth_images(80, 32)
    sizes = [(changed(name, strength=s) - plain).abs().mean().item() for s in (0, 0.25, 0.5, 1)]
    assert sizes[0] < 1e-5
    assert sizes[0] < sizes[1] < sizes[2] < sizes[3]


@pytest.mark.parametrize("name", ADDITIVE)
def test_zero_strength_changes_no_bit(name):
    assert torch.equal(changed(name, strength=0.0), smooth_images(80, 32))


@pytest.mark.parametrize("name", list(PERTURBATIONS))
def test_the_change_is_as_large_at_112_pixels_as_at_32(name):
    sizes = [
        (changed(name, 60, side) - smooth_images(60, side)).square().mean().sqrt().item()
        for side in (32, 112)
    ]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", list(PERTURBATIONS))
def test_a_gpu_gives_the_result_of_the_cpu(name):
    images, donors = smooth_images(30, 48).cuda(), smooth_images(7, 48, seed=1).cuda()
    ours = PERTURBATIONS.resolve(name)(images, keys(30).cuda(), donors)
    assert (ours.cpu() - changed(name, 30, 48)).abs().max() < 1e-4


def invert(images, keys, donors, strength=1.0):  # noqa: ARG001
    """Negatives: dark becomes bright."""
    return images + strength * (1 - 2 * images)


@pytest.fixture
def registered(monkeypatch):
    """A new perturbation is one file and this line."""
    monkeypatch.setitem(PERTURBATIONS._members, "invert", f"{__name__}:invert")


def students_view(recipe, count=200):
    """The student's views of plain grey images, without the adversary."""
    drawn = drawn_perturbations(recipe)
    donors = torch.rand(3, 3, 16, 16)
    pixels = torch.full((count, 3, 16, 16), 51, dtype=torch.uint8)
    return PairMaker(recipe, 16, donors, drawn, False).make(pixels, keys(count)).student


NONE = {name: {"probability": 0.0} for name in PERTURBATIONS}


@pytest.mark.usefixtures("registered")
def test_a_registered_perturbation_is_a_key_of_the_recipe_and_reaches_the_student():
    assert "perturbations.invert.probability" in known_keys()
    assert "perturbations.invert.strength" in default_space(Recipe(), [0.0]).described()
    recipe = parse_recipe({"perturbations": {**NONE, "invert": {"probability": 0.25}}})
    inverted = (students_view(recipe) > 0.7).flatten(1).all(dim=1)
    assert 0.15 < inverted.float().mean() < 0.35


@pytest.mark.usefixtures("registered")
def test_a_registered_perturbation_does_not_change_other_recipes():
    assert "invert" not in parse_recipe({}).perturbations.active()


def test_the_example_of_the_documentation_reaches_the_student(tmp_path, monkeypatch):
    _, toml = write_example(perturbation_registry, tmp_path)
    monkeypatch.chdir(tmp_path)
    own = tomllib.loads(toml.read_text())["perturbations"]
    darker = students_view(parse_recipe({"perturbations": {**NONE, **own}})) < 0.199
    assert 0.2 < darker.flatten(1).all(dim=1).float().mean() < 0.4


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return images[:, :1]", r"ValueError: returned torch.float32 \[\d+, 1, 16, 16\]"),
        ("return images.double()", "ValueError: returned torch.float64"),
        ("return image", r"NameError: .*mine\.py, line 2"),
    ],
)
def test_a_users_perturbation_that_fails_is_named_with_its_error(tmp_path, body, words):
    file = tmp_path / "mine.py"
    file.write_text(f"def mine(images, keys, donors, strength=1.0):\n    {body}\n")
    recipe = parse_recipe({"perturbations": {**NONE, f"{file}:mine": {"probability": 0.5}}})
    with pytest.raises(UsageError, match=words):
        students_view(recipe)


def test_a_users_perturbation_with_another_signature_is_refused_before_the_start(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def mine(images, keys):\n    return images\n")
    recipe = parse_recipe({"perturbations": {**NONE, f"{file}:mine": {"probability": 0.5}}})
    words = r"wrong signature \(images, keys\): .* mine\(images, keys, donors, strength\)"
    with pytest.raises(UsageError, match=words):
        check_recipe(recipe)


def test_values_of_a_users_perturbation_are_clamped(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def mine(images, keys, donors, strength=1.0):\n    return images + 5\n")
    recipe = parse_recipe({"perturbations": {**NONE, f"{file}:mine": {"probability": 1.0}}})
    assert students_view(recipe).max() == 1.0
