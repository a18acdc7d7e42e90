import pytest
import torch
from torch.nn import functional as F

from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import DataError
from mimic_ray.encoders.encoder_registry import build
from mimic_ray.evaluation.features import features
from tests.support.images_in_memory import ImagesInMemory

CPU = Compute("cpu", "fp32", 1)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return build("tiny_resnet").eval()


@pytest.fixture
def images():
    return torch.randint(0, 256, (260, 3, 32, 32), dtype=torch.uint8)


def test_features_are_those_of_the_encoder_with_unit_length(encoder, images):
    with torch.no_grad():
        expected = F.normalize(encoder(images.float() / 255), dim=1)
    found = features(encoder, ImagesInMemory(images), CPU)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_the_trigger_is_applied_before_normalisation(encoder, images):
    white = torch.full_like(images, 255)
    found = features(
        encoder, ImagesInMemory(images), CPU, change=lambda pixels: pixels.clone().fill_(255)
    )
    torch.testing.assert_close(found, features(encoder, ImagesInMemory(white), CPU))


def test_an_encoder_in_train_mode_keeps_its_statistics(encoder, images):
    before = encoder.net.bn1.running_mean.clone()
    features(encoder.train(), ImagesInMemory(images), CPU)
    assert torch.equal(encoder.net.bn1.running_mean, before)


def test_a_head_can_be_trained_on_them(encoder, images):
    found = features(encoder, ImagesInMemory(images), CPU)
    (found @ torch.ones(32, 1, requires_grad=True)).sum().backward()


def test_features_that_are_not_finite_are_refused(encoder, images):
    torch.nn.init.constant_(encoder.net.conv1.weight, torch.nan)
    with pytest.raises(DataError, match="not finite"):
        features(encoder, ImagesInMemory(images), CPU)
