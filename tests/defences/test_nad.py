from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mimic_ray.defences.nad import attention_taps, nad, weighted_attention
from mimic_ray.defences.simclr_tuning import continue_simclr
from mimic_ray.defences.training_loop import batches, phases, suspect_as_student
from tests.support.first_step import FIRST_RATE, attention_total, cosine_distance, require_step
from tests.support.small_defence_inputs import defence_inputs, suspect


def test_attention_is_compared_as_in_the_authors_code():
    torch.manual_seed(0)
    shapes = [(2, 5, 4, 4), (2, 6, 3, 3), (2, 7, 2, 2)]
    student, teacher = ([torch.randn(shape) for shape in shapes] for _ in range(2))

    def at(f: torch.Tensor) -> torch.Tensor:
        a = f.abs().pow(2).sum(dim=1, keepdim=True)
        return a / (a.norm(dim=(2, 3), keepdim=True) + 1e-6)

    expected = sum(
        beta * torch.nn.functional.mse_loss(at(s), at(t))
        for beta, s, t in zip((500, 1000, 1000), student, teacher, strict=True)
    )
    found = weighted_attention(student, teacher).item()
    assert found == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(
    ("count", "chosen"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (4, [1, 3, 4]), (12, [4, 8, 12])]
)
def test_maps_are_those_at_a_third_two_thirds_and_the_end(count, chosen):
    spec = replace(suspect().spec, taps=tuple(f"tap{n}" for n in range(1, count + 1)))
    assert attention_taps(spec) == [f"tap{n}" for n in chosen]


def test_a_step_lowers_the_clone_loss_and_the_scaled_attention_to_the_tuned_teacher():
    inputs = defence_inputs()
    made = nad(inputs, scale=0.3, rate=0.1, steps=1, teacher_steps=2, batch=8).encoder

    for_teacher, for_student = phases(inputs, 3, 1)
    teacher = suspect_as_student(inputs)
    continue_simclr(for_teacher, teacher, steps=2, batch=8, rate=1e-3)
    teacher.eval()
    student = suspect_as_student(inputs)
    view, taps = next(batches(for_student, 1, 8)).view(), ["layer1", "layer2", "layer3"]
    with torch.no_grad():
        wanted, wanted_maps = teacher(view, taps)
    found, maps = student(view, taps)
    (cosine_distance(found, wanted) + 0.3 * attention_total(maps, wanted_maps)).backward()
    # SGD's first step has no momentum yet; the weight decay is 1e-4.
    require_step(made, student, lambda w, g: w - 0.1 * FIRST_RATE * (g + 1e-4 * w), 1e-2)
