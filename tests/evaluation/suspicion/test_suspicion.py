import json
import pickle
from dataclasses import asdict

import pytest
import torch

from mimic_ray.base.devices import Compute
from mimic_ray.encoders import tiny
from mimic_ray.evaluation.suspicion.suspicion import Untouched, suspicion, untouched_scores
from tests.evaluation.suspicion import planted

CPU = Compute("cpu", "fp32", 1)


@pytest.fixture(scope="module")
def untouched():
    return untouched_scores(
        [planted.encoder()], planted.images(32), CPU, 0, teacher=planted.encoder(60.0)
    )


@pytest.mark.parametrize("effort", ["quick", "full"])
def test_suspicion_falls_with_what_is_left_of_the_backdoor(effort, untouched):
    scores = [
        suspicion(planted.encoder(left), untouched, planted.images(32), CPU, 0, effort).score
        for left in (60.0, 6.0, 0.0)
    ]
    assert scores[0] > scores[1] + 0.02
    assert scores[1] > scores[2] + 0.02


def test_an_untouched_encoder_lies_in_the_middle_of_the_inversion_scale(untouched):
    found = suspicion(planted.encoder(), untouched, planted.images(32), CPU, 0, "quick")
    assert found.inversion == pytest.approx(0.5)


def test_what_the_teacher_answers_to_finds_a_backdoor_that_a_few_candidates_miss(untouched):
    blind = Untouched(untouched.masks)
    images = planted.images(32)
    with_teacher, alone = (
        suspicion(planted.encoder(60.0), known, images, CPU, 0, "quick").universal
        for known in (untouched, blind)
    )
    assert with_teacher > alone


def test_scores_are_plain_data_that_survive_pickle_and_json(untouched):
    assert pickle.loads(pickle.dumps(untouched)) == untouched
    restored = Untouched(**json.loads(json.dumps(asdict(untouched))))
    images = planted.images(32)
    one, other = (
        suspicion(planted.encoder(9.0), known, images, CPU, 0) for known in (untouched, restored)
    )
    assert one == other


def test_equal_arguments_give_equal_bits_and_bytes_or_floats_do_not_matter(untouched):
    pixels = (planted.images(32) * 255).round().to(torch.uint8)
    runs = [suspicion(planted.encoder(9.0), untouched, pixels, CPU, 0, "quick") for _ in range(2)]
    assert runs[0] == runs[1]
    assert suspicion(planted.encoder(9.0), untouched, pixels / 255, CPU, 0, "quick") == runs[0]


def test_the_student_is_left_as_it_was(untouched):
    student = planted.encoder(9.0).train()
    student.net.norm.eval()
    student.net.project.bias.requires_grad_(False)
    before = {name: value.clone() for name, value in student.state_dict().items()}
    suspicion(student, untouched, planted.images(32), CPU, 0, "quick")
    for name, value in student.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert student.training
    assert student.net.training
    assert not student.net.norm.training
    assert student.net.project.weight.requires_grad
    assert not student.net.project.bias.requires_grad
    assert all(parameter.grad is None for parameter in student.parameters())


def test_a_student_in_training_mode_scores_as_one_that_is_not(untouched):
    images = planted.images(32)
    learning, resting = planted.encoder(9.0).train(), planted.encoder(9.0)
    assert suspicion(learning, untouched, images, CPU, 0, "quick") == suspicion(
        resting, untouched, images, CPU, 0, "quick"
    )


def test_the_untouched_encoders_may_come_in_any_order():
    images, encoders = planted.images(16), [planted.encoder(), planted.encoder(60.0)]
    one, other = (
        suspicion(
            planted.encoder(9.0), untouched_scores(some, images, CPU, 0), images, CPU, 0, "quick"
        )
        for some in (encoders, encoders[::-1])
    )
    assert one == other


@pytest.mark.parametrize("build", [tiny.tiny_resnet, tiny.tiny_vit])
def test_real_families_are_scored(build):
    torch.manual_seed(0)
    encoder, images = build(), planted.images(32)
    untouched = untouched_scores([encoder], images, CPU, 0)
    found = suspicion(encoder, untouched, images, CPU, 0, "quick")
    assert all(0 <= value <= 1 for value in asdict(found).values())


def test_too_few_images_are_refused_with_their_number(untouched):
    with pytest.raises(ValueError, match="4 images at least, got 3"):
        suspicion(planted.encoder(), untouched, planted.images(3), CPU, 0)
