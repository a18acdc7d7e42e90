import json
import pickle
from dataclasses import asdict

import pytest
import torch

from mimic_ray.base.devices import Compute
from mimic_ray.encoders import encoder_registry
from mimic_ray.evaluation.suspicion.suspicion import TrustedScores, suspicion, trusted_scores
from tests.evaluation.suspicion import planted

CPU = Compute("cpu", "fp32", 1)


@pytest.fixture(scope="module")
def trusted():
    return trusted_scores(
        [planted.encoder()], planted.images(32), CPU, 0, teacher=planted.encoder(60.0)
    )


@pytest.mark.parametrize("effort", ["quick", "full"])
def test_suspicion_decreases_with_the_strength_of_the_backdoor(effort, trusted):
    scores = [
        suspicion(planted.encoder(left), trusted, planted.images(32), CPU, 0, effort).score
        for left in (60.0, 6.0, 0.0)
    ]
    assert scores[0] > scores[1] + 0.02
    assert scores[1] > scores[2] + 0.02


def test_a_trusted_encoder_has_an_inversion_score_of_one_half(trusted):
    found = suspicion(planted.encoder(), trusted, planted.images(32), CPU, 0, "quick")
    assert found.inversion == pytest.approx(0.5)


def test_changes_found_on_the_teacher_reveal_a_backdoor_that_few_candidates_miss(trusted):
    blind = TrustedScores(trusted.masks)
    images = planted.images(32)
    with_teacher, alone = (
        suspicion(planted.encoder(60.0), known, images, CPU, 0, "quick").universal
        for known in (trusted, blind)
    )
    assert with_teacher > alone


def test_trusted_scores_are_equal_after_pickle_and_json(trusted):
    assert pickle.loads(pickle.dumps(trusted)) == trusted
    restored = TrustedScores(**json.loads(json.dumps(asdict(trusted))))
    images = planted.images(32)
    one, other = (
        suspicion(planted.encoder(9.0), known, images, CPU, 0) for known in (trusted, restored)
    )
    assert one == other


def test_equal_arguments_give_equal_bits_for_uint8_and_float_images(trusted):
    pixels = (planted.images(32) * 255).round().to(torch.uint8)
    runs = [suspicion(planted.encoder(9.0), trusted, pixels, CPU, 0, "quick") for _ in range(2)]
    assert runs[0] == runs[1]
    assert suspicion(planted.encoder(9.0), trusted, pixels / 255, CPU, 0, "quick") == runs[0]


def test_the_student_is_not_changed(trusted):
    student = planted.encoder(9.0).train()
    student.net.norm.eval()
    student.net.project.bias.requires_grad_(False)
    before = {name: value.clone() for name, value in student.state_dict().items()}
    suspicion(student, trusted, planted.images(32), CPU, 0, "quick")
    for name, value in student.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert student.training
    assert student.net.training
    assert not student.net.norm.training
    assert student.net.project.weight.requires_grad
    assert not student.net.project.bias.requires_grad
    assert all(parameter.grad is None for parameter in student.parameters())


def test_training_mode_does_not_change_the_score(trusted):
    images = planted.images(32)
    learning, resting = planted.encoder(9.0).train(), planted.encoder(9.0)
    assert suspicion(learning, trusted, images, CPU, 0, "quick") == suspicion(
        resting, trusted, images, CPU, 0, "quick"
    )


def test_the_order_of_the_trusted_encoders_does_not_matter():
    images, encoders = planted.images(16), [planted.encoder(), planted.encoder(60.0)]
    one, other = (
        suspicion(
            planted.encoder(9.0), trusted_scores(some, images, CPU, 0), images, CPU, 0, "quick"
        )
        for some in (encoders, encoders[::-1])
    )
    assert one == other


@pytest.mark.parametrize("name", ["tiny_resnet", "tiny_vit"])
def test_real_families_are_scored(name):
    torch.manual_seed(0)
    encoder, images = encoder_registry.build(name), planted.images(32)
    trusted = trusted_scores([encoder], images, CPU, 0)
    found = suspicion(encoder, trusted, images, CPU, 0, "quick")
    assert all(0 <= value <= 1 for value in asdict(found).values())


def test_too_few_images_are_refused_with_their_number(trusted):
    with pytest.raises(ValueError, match="at least 4 images, got 3"):
        suspicion(planted.encoder(), trusted, planted.images(3), CPU, 0)
