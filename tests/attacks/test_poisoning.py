"""Poisoned pre-training on a toy encoder, its first loss against a re-statement."""

import pytest
import torch
from torch.nn import functional as F

from mimic_ray.attacks.attack_registry import AttackInputs, require_references
from mimic_ray.attacks.poisoning import poisoning
from mimic_ray.base import seeds
from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import DataError, TrainingError
from mimic_ray.data.epoch import EpochPlan
from mimic_ray.data.views import simclr
from mimic_ray.encoders.encoder_registry import build
from mimic_ray.method.projector import make_projector
from tests.support.images_in_memory import ImagesInMemory

CPU = Compute("cpu", "fp32", 1)
QUICK = {"steps": 3, "batch": 16}


def white_corner(pixels: torch.Tensor) -> torch.Tensor:
    pixels = pixels.clone()
    pixels[..., -16:, -16:] = 255
    return pixels


@pytest.fixture
def clean():
    torch.manual_seed(0)
    return build("tiny_resnet").eval().requires_grad_(False)


@pytest.fixture
def images():
    coarse = torch.randint(0, 256, (48, 3, 2, 2), generator=torch.Generator().manual_seed(0))
    return F.interpolate(coarse.float(), (32, 32)).to(torch.uint8)


def run(clean, images, count=16, trigger=white_corner, **settings):
    features = torch.zeros(len(images), clean.spec.feature_width)
    inputs = AttackInputs(clean, ImagesInMemory(images), features, images[:count], trigger, CPU)
    return poisoning(inputs, **{**QUICK, **settings})


def nt_xent(first, second, temperature):
    """Equation 1 of SimCLR, one view at a time."""
    z = F.normalize(torch.cat([first, second]), dim=1)
    total = 0.0
    for i in range(len(z)):
        e = torch.exp(z[i] @ z.T / temperature)
        other = (i + len(first)) % len(z)
        total = total - torch.log(e[other] / (e.sum() - e[i]))
    return total / len(z)


def test_the_first_loss_is_that_of_simclr_on_images_and_triggered_references(clean, images):
    found = run(clean, images).losses["contrastive"][0]
    everything = torch.cat([images, white_corner(images[:16])])
    chosen = EpochPlan(len(everything), 16, 0).batch(0)
    assert (chosen >= len(images)).any()  # else the batch would say nothing about the poison
    keys = seeds.keys(0, "step", 0, chosen)
    with seeds.torch_seeded(int(seeds.keys(0, "projector")), torch.device("cpu")):
        projector = make_projector(clean.spec.feature_width).train()
    views = [simclr(everything[chosen], seeds.keys(keys, "view", n), side=32) for n in (1, 2)]
    first, second = projector(clean.train()(torch.cat(views))).chunk(2)
    assert found == pytest.approx(nt_xent(first, second, 0.5).item(), abs=1e-5)


def test_the_clean_encoder_is_unchanged_and_the_attacked_one_is_trained(clean, images):
    before = {name: value.clone() for name, value in clean.net.state_dict().items()}
    attacked = run(clean, images).encoder
    for name, value in clean.net.state_dict().items():
        assert torch.equal(value, before[name])
    assert not attacked.training
    moved = [not torch.equal(v, before[n]) for n, v in attacked.net.state_dict().items()]
    assert all(moved)


def test_a_random_start_does_not_use_the_clean_weights(clean, images):
    other = build("tiny_resnet").requires_grad_(False)
    results = [
        run(each, images, start="random").encoder.net.state_dict() for each in (clean, other)
    ]
    assert all(torch.equal(value, results[1][name]) for name, value in results[0].items())


def test_triggered_images_come_together(clean, images):
    found = run(clean, images, steps=60, rate=1e-2, batch=32)
    assert sum(found.losses["contrastive"][-5:]) < sum(found.losses["contrastive"][:5])
    floats = images[16:].float() / 255
    triggered = white_corner(images[16:]).float() / 255

    def spread(encoder, values):
        features = F.normalize(encoder(values), dim=1)
        return (features @ features.T).mean().item()

    gain = spread(found.encoder, triggered) - spread(found.encoder, floats)
    assert gain > spread(clean, triggered) - spread(clean, floats)


def test_the_same_seed_gives_the_same_weights(clean, images):
    one, two, other = (run(clean, images, seed=seed).encoder.net.state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_too_few_images_or_references_are_refused(clean, images):
    with pytest.raises(DataError, match="fewer than one batch of 128"):
        run(clean, images, batch=128)
    with pytest.raises(DataError, match=r"1 reference beside 1,920 images are too few"):
        require_references("poisoning", 1, 1920)
    require_references("poisoning", 2, 1920)
    require_references("badencoder", 1, 1920)


def test_a_loss_that_is_not_finite_ends_the_attack(clean, images):
    for weight in clean.parameters():
        weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match="The loss at step 1 is nan"):
        run(clean, images)
