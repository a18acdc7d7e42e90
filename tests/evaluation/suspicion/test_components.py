import pytest
import torch

from mimic_ray.base import seeds
from mimic_ray.base.devices import Compute
from mimic_ray.evaluation.suspicion import frozen, universal
from mimic_ray.evaluation.suspicion.inversion import inversion
from mimic_ray.evaluation.suspicion.occlusion import occlusion
from tests.evaluation.suspicion import planted

CPU = Compute("cpu", "fp32", 1)


def clean_and_backdoored():
    return [planted.encoder(0.0).requires_grad_(False), planted.encoder(60.0).requires_grad_(False)]


def test_only_the_encoder_with_a_backdoor_responds_to_a_universal_change():
    images = planted.images()
    search_images, test_images = images[::2], images[1::2]
    scores = []
    for encoder in clean_and_backdoored():
        changes = universal.screen(encoder, search_images, CPU, 0, candidates=32, kept=2)
        scores.append(universal.universal(encoder, test_images, changes, search_images, CPU))
    assert scores[1] > 0.9
    assert scores[0] < 0.7


def test_a_backdoor_needs_a_much_smaller_mask():
    clean, backdoored = (
        inversion(encoder, planted.images(), CPU, 0, steps=60, batch=16)
        for encoder in clean_and_backdoored()
    )
    assert backdoored < 0.5 * clean


def test_a_piece_of_another_image_moves_a_backdoored_feature_further():
    images = planted.images(with_squares=True)
    clean, backdoored = (
        occlusion(encoder, images, CPU, 0, positions=8) for encoder in clean_and_backdoored()
    )
    assert backdoored > 1.5 * clean


def test_a_constant_encoder_has_finite_scores():
    blind = planted.encoder().requires_grad_(False)
    blind.net.project.bias.fill_(1e4)
    images = planted.images()
    changes = universal.screen(blind, images, CPU, 0, candidates=4, kept=1)
    assert 0 <= universal.universal(blind, images, changes, images, CPU) <= 1
    assert 0 <= occlusion(blind, images, CPU, 0, positions=2) <= 1
    assert 0 <= inversion(blind, images, CPU, 0, steps=4, batch=8) <= 1


def test_the_changes_with_the_strongest_response_are_kept_in_order():
    encoder, images = planted.encoder(60.0).requires_grad_(False), planted.images()
    found = universal.screen(encoder, images, CPU, 0, candidates=24, kept=3)["patch"]
    keys = seeds.keys(0, "universal", "patch", torch.arange(24))
    of_all = universal.responses(encoder, images[:8], "patch", keys, images, CPU)
    assert list(found) == keys[of_all.argsort(descending=True)[:3]].tolist()


@pytest.mark.parametrize("family", universal.FAMILIES)
def test_responses_do_not_depend_on_the_batch_size(family, monkeypatch):
    encoder, images = planted.encoder(60.0).requires_grad_(False), planted.images(16)
    keys = seeds.keys(3, torch.arange(9))
    at_once = universal.responses(encoder, images, family, keys, images, CPU)
    monkeypatch.setattr(frozen, "_BATCH_IMAGES", 16)
    one_by_one = universal.responses(encoder, images, family, keys, images, CPU)
    torch.testing.assert_close(at_once, one_by_one)
