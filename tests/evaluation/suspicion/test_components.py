import pytest
import torch

from mimic_ray.base import seeds
from mimic_ray.base.devices import Compute
from mimic_ray.evaluation.suspicion import frozen, universal
from mimic_ray.evaluation.suspicion.inversion import inversion
from mimic_ray.evaluation.suspicion.occlusion import occlusion
from tests.evaluation.suspicion import planted

CPU = Compute("cpu", "fp32", 1)


def honest_and_backdoored():
    return [planted.encoder(0.0).requires_grad_(False), planted.encoder(60.0).requires_grad_(False)]


def test_a_backdoor_answers_to_a_change_that_the_same_encoder_without_it_does_not():
    images = planted.images()
    sought, judged = images[::2], images[1::2]
    scores = []
    for encoder in honest_and_backdoored():
        changes = universal.screen(encoder, sought, CPU, 0, candidates=32, kept=2)
        scores.append(universal.universal(encoder, judged, changes, sought, CPU))
    assert scores[1] > 0.9
    assert scores[0] < 0.7


def test_a_backdoor_needs_a_mask_of_a_fraction_of_the_size():
    honest, backdoored = (
        inversion(encoder, planted.images(), CPU, 0, steps=60, batch=16)
        for encoder in honest_and_backdoored()
    )
    assert backdoored < 0.5 * honest


def test_a_piece_of_another_image_moves_a_backdoored_feature_further():
    images = planted.images(with_squares=True)
    honest, backdoored = (
        occlusion(encoder, images, CPU, 0, places=8) for encoder in honest_and_backdoored()
    )
    assert backdoored > 1.5 * honest


def test_an_encoder_that_sees_nothing_answers_to_nothing_and_has_nothing_to_lose():
    blind = planted.encoder().requires_grad_(False)
    blind.net.project.bias.fill_(1e4)
    images = planted.images()
    changes = universal.screen(blind, images, CPU, 0, candidates=4, kept=1)
    assert 0 <= universal.universal(blind, images, changes, images, CPU) <= 1
    assert 0 <= occlusion(blind, images, CPU, 0, places=2) <= 1
    assert 0 <= inversion(blind, images, CPU, 0, steps=4, batch=8) <= 1


def test_the_strongest_changes_come_first_and_are_those_of_all_candidates():
    encoder, images = planted.encoder(60.0).requires_grad_(False), planted.images()
    found = universal.screen(encoder, images, CPU, 0, candidates=24, kept=3)["patch"]
    keys = seeds.keys(0, "universal", "patch", torch.arange(24))
    of_all = universal.answers(encoder, images[:8], "patch", keys, images, CPU)
    assert list(found) == keys[of_all.argsort(descending=True)[:3]].tolist()


@pytest.mark.parametrize("family", universal.FAMILIES)
def test_answers_do_not_depend_on_how_many_images_go_through_at_once(family, monkeypatch):
    encoder, images = planted.encoder(60.0).requires_grad_(False), planted.images(16)
    keys = seeds.keys(3, torch.arange(9))
    at_once = universal.answers(encoder, images, family, keys, images, CPU)
    monkeypatch.setattr(frozen, "_IMAGES_AT_A_TIME", 16)
    one_by_one = universal.answers(encoder, images, family, keys, images, CPU)
    torch.testing.assert_close(at_once, one_by_one)
