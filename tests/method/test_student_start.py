from __future__ import annotations

import pytest
import torch

from mimic_ray.encoders.encoder_registry import build
from mimic_ray.method.recipe import parse_recipe
from mimic_ray.method.student_start import first_student, renew, untrained, with_weights

NAME = "tiny_resnet"


def state(encoder):
    return encoder.net.state_dict()


def equal(left, right):
    return all(torch.equal(left[key], right[key]) for key in right)


def recipe(**sections):
    return parse_recipe({"training": {"steps": 100, "batch": 8}, **sections})


def test_random_weights_depend_on_the_seed_alone():
    torch.manual_seed(1)
    first = state(untrained(NAME, 5))
    torch.manual_seed(2)
    assert equal(first, state(untrained(NAME, 5)))
    assert not equal(first, state(untrained(NAME, 6)))


@pytest.mark.parametrize(
    ("start", "share_kept"), [("teacher", (1, 1)), ("partial", (0.7, 0.99)), ("random", (0, 0.01))]
)
def test_a_student_starts_from_as_much_of_the_teacher_as_the_recipe_says(start, share_kept):
    teacher = state(untrained(NAME, 3))
    student = state(first_student(NAME, teacher, recipe(student={"start": start})))
    weights = [key for key, value in teacher.items() if value.ndim == 4]
    kept = sum((teacher[key] == student[key]).sum().item() for key in weights)
    low, high = share_kept
    assert low <= kept / sum(teacher[key].numel() for key in weights) <= high


def test_weights_are_copied_into_the_encoder():
    teacher = state(untrained(NAME, 3))
    made = with_weights(NAME, teacher)
    with torch.no_grad():
        next(made.net.parameters()).zero_()
    assert equal(teacher, state(untrained(NAME, 3)))


def test_entries_are_renewed_one_by_one_with_the_share_of_their_layer():
    encoder, fresh = build(NAME), build(NAME)
    before = {key: value.clone() for key, value in state(encoder).items()}
    shares = {"layer1.0.conv1.weight": 0.5, "layer3.0.conv1.weight": 0.1}
    renew(encoder, fresh, shares, seed=0)
    for key, value in state(encoder).items():
        taken = value == state(fresh)[key]
        if key not in shares:
            assert torch.equal(value, before[key])
            continue
        assert torch.equal(value[~taken], before[key][~taken])
        assert taken.float().mean().item() == pytest.approx(shares[key], abs=0.06)
        # Not whole output channels: every channel has entries of both kinds.
        assert ((by_channel := taken.flatten(1)).any(dim=1) & ~by_channel.all(dim=1)).all()


def test_renewing_nothing_and_everything_gives_either_network():
    encoder, fresh = build(NAME), build(NAME)
    before = {key: value.clone() for key, value in state(encoder).items()}
    renew(encoder, fresh, {"conv1.weight": 0.0}, seed=0)
    assert equal(before, state(encoder))
    renew(encoder, fresh, {"conv1.weight": 1.0}, seed=0)
    assert torch.equal(state(encoder)["conv1.weight"], state(fresh)["conv1.weight"])
