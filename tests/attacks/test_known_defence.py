"""An attacker who knows the recipe, on a toy encoder."""

import pytest
import torch
from torch.nn import functional as F

from mimic_ray.attacks.attack_registry import AttackInputs
from mimic_ray.attacks.badencoder import badencoder
from mimic_ray.attacks.known_defence import KnownDefence
from mimic_ray.base.devices import Compute
from mimic_ray.data.views import to_float
from mimic_ray.encoders.encoder_registry import build
from tests.support.images_in_memory import ImagesInMemory


@pytest.fixture
def inputs():
    torch.manual_seed(0)
    clean = build("tiny_resnet").eval().requires_grad_(False)
    coarse = torch.randint(0, 256, (48, 3, 2, 2), generator=torch.Generator().manual_seed(0))
    images = F.interpolate(coarse.float(), (32, 32)).to(torch.uint8)
    features = F.normalize(clean(to_float(images)), dim=1)
    cpu = Compute("cpu", "fp32", 1)

    def white_corner(pixels):
        pixels = pixels.clone()
        pixels[..., -10:, -10:] = 255
        return pixels

    return AttackInputs(clean, ImagesInMemory(images), features, images[:2], white_corner, cpu)


def test_the_images_are_perturbed_anew_in_each_step(inputs):
    known, pixels = KnownDefence(inputs, inputs.clean, seed=0), inputs.references
    first, second = known.perturbed(pixels, step=0), known.perturbed(pixels, step=1)
    assert not torch.equal(first, to_float(pixels))
    assert not torch.equal(first, second)
    assert torch.equal(first, known.perturbed(pixels, step=0))


def test_the_loss_is_least_for_the_answers_of_the_clean_encoder(inputs):
    known = KnownDefence(inputs, inputs.clean, seed=0)
    images = known.perturbed(inputs.references, step=0)
    answers = inputs.clean(images)
    assert known.loss(answers, images) == pytest.approx(-1)
    assert known.loss(-answers, images) == pytest.approx(1)


def test_the_attacker_learns_to_answer_perturbed_images_as_the_clean_encoder(inputs):
    naive = badencoder(inputs, steps=30, batch=16)
    adaptive = badencoder(inputs, steps=30, batch=16, adaptive=3.0)
    known = KnownDefence(inputs, inputs.clean, seed=9)
    images = known.perturbed(inputs.images.gather(torch.arange(48)), step=0)
    assert known.loss(adaptive.encoder(images), images) < known.loss(naive.encoder(images), images)
    assert "perturbed" not in naive.losses
    assert len(adaptive.losses["perturbed"]) == 30
