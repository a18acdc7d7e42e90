"""The attack on a toy encoder, its losses against a re-statement of the authors' code."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mimic_ray.attacks.attack_registry import AttackInputs
from mimic_ray.attacks.badencoder import augmented, badencoder, badencoder_losses
from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import DataError, TrainingError
from mimic_ray.data.views import to_float
from mimic_ray.encoders.encoder_registry import build
from tests.support.images_in_memory import ImagesInMemory

CPU = Compute("cpu", "fp32", 1)
QUICK = {"steps": 6, "batch": 16}


def white_corner(pixels: torch.Tensor) -> torch.Tensor:
    pixels = pixels.clone()
    pixels[..., -10:, -10:] = 255
    return pixels


@pytest.fixture
def clean():
    torch.manual_seed(0)
    encoder = build("tiny_resnet").eval()
    for module in encoder.modules():  # statistics that a wrong update would move
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
    return encoder.requires_grad_(False)


@pytest.fixture
def images():
    coarse = torch.randint(0, 256, (48, 3, 2, 2), generator=torch.Generator().manual_seed(0))
    return F.interpolate(coarse.float(), (32, 32)).to(torch.uint8)


def run(clean, images, settings=QUICK, trigger=white_corner, count=2):
    with torch.no_grad():
        features = F.normalize(clean(to_float(images)), dim=1)
    inputs = AttackInputs(clean, ImagesInMemory(images), features, images[:count], trigger, CPU)
    return badencoder(inputs, **settings)


@pytest.mark.parametrize("references", [1, 3])
def test_the_losses_are_those_of_the_authors(references):
    draw = torch.Generator().manual_seed(0)
    sizes = {"x": 5, "xt": 5, "r": references, "ra": references, "fx": 5, "fr": references}
    f = {name: torch.randn(n, 8, generator=draw) for name, n in sizes.items()}
    found = badencoder_losses(
        f["x"], f["xt"], f["r"], f["ra"], clean_images=f["fx"], clean_references=f["fr"]
    )
    # Re-stated from their train(): normalised features, - sum(a * b).mean(), one list entry a
    # reference, averaged over the list.
    n = {name: F.normalize(value, dim=-1) for name, value in f.items()}
    loss_0 = [
        -torch.sum(n["xt"] * n["r"][i].expand(5, 8), dim=-1).mean() for i in range(references)
    ]
    loss_1 = [-torch.sum(n["ra"][i] * n["fr"][i], dim=-1).mean() for i in range(references)]
    loss_2 = -torch.sum(n["x"] * n["fx"], dim=-1).mean()
    expected = [sum(loss_0) / references, sum(loss_1) / references, loss_2]
    assert [float(loss) for loss in found] == pytest.approx([float(e) for e in expected], abs=1e-6)


def test_the_mean_of_one_reference_is_that_reference():
    x, r = torch.randn(4, 8), torch.randn(1, 8)
    mean, each = (
        badencoder_losses(x, x, r, r, clean_images=x, clean_references=r, target_feature=target)
        for target in ("mean", "each")
    )
    assert float(mean.trigger) == pytest.approx(float(each.trigger), abs=1e-6)


def test_the_trigger_pulls_and_is_pulled():
    # As in the authors' code E(r) is not detached: it may move towards the triggered images.
    xt, r = torch.randn(4, 8, requires_grad=True), torch.randn(1, 8, requires_grad=True)
    losses = badencoder_losses(xt, xt, r, r, clean_images=xt, clean_references=r)
    losses.trigger.backward()
    assert xt.grad.abs().sum() > 0
    assert r.grad.abs().sum() > 0


def test_triggered_images_end_at_the_reference_and_clean_ones_stay(clean, images):
    losses = run(clean, images, {"steps": 120, "batch": 16, "rate": 1e-2}, count=1).losses
    # How far from the goal, as 1 - cosine. The clean images may not move as far as the others.
    to_go = [1 + losses["trigger"][step] for step in (0, -1)]
    assert to_go[1] < to_go[0] / 2
    assert 1 + losses["utility"][-1] < to_go[0] / 2


def test_batch_normalisation_is_the_clean_one_bit_for_bit(clean, images):
    attacked = run(clean, images).encoder
    moved = []
    for (name, before), after in zip(clean.named_modules(), attacked.modules(), strict=True):
        if isinstance(before, nn.BatchNorm2d):
            for key, value in before.state_dict().items():
                assert torch.equal(value, after.state_dict()[key]), f"{name}.{key}"
        elif isinstance(before, nn.Conv2d):
            moved.append(not torch.equal(before.weight, after.weight))
    assert moved
    assert all(moved)


def test_the_clean_encoder_is_left_as_it_was(clean, images):
    before = {key: value.clone() for key, value in clean.state_dict().items()}
    run(clean, images)
    assert all(torch.equal(value, before[key]) for key, value in clean.state_dict().items())
    assert not any(parameter.requires_grad for parameter in clean.parameters())


def test_the_first_losses_are_those_of_the_clean_encoder(clean, images):
    assert run(clean, images, count=1).losses["utility"][0] == pytest.approx(-1.0, abs=1e-5)


def test_the_same_seed_gives_the_same_bits_and_another_does_not(clean, images):
    first, second, other = (
        run(clean, images, {**QUICK, "seed": seed}).encoder.net.conv1.weight for seed in (0, 0, 1)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_an_augmented_reference_is_never_cropped():
    # A vertical edge: flips and colours leave it in the middle, a crop would move it.
    edge = torch.zeros(40, 3, 32, 32)
    edge[..., 16:] = 0.8
    shown = augmented(edge, seed=0, step=0)
    steps = (shown[..., 1:] - shown[..., :-1]).abs().sum(dim=(1, 2))
    assert (steps.argmax(dim=1) == 15).all()
    assert (steps > 1e-4).sum() == 40
    assert not torch.equal(shown, augmented(edge, seed=0, step=1))


def test_a_loss_that_is_not_finite_ends_the_attack(clean, images):
    with pytest.raises(TrainingError, match="lower rate="):
        run(clean, images, {**QUICK, "rate": 1e30, "schedule": "constant"})


def test_fewer_images_than_a_batch_are_refused(clean, images):
    with pytest.raises(DataError, match="48 images, fewer than one batch of 49"):
        run(clean, images, {"batch": 49})
