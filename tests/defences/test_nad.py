from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mimic_ray.defences.nad import attention_taps, weighted_attention
from tests.support.small_defence_inputs import suspect


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
