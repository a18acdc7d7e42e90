from __future__ import annotations

import numpy as np
import pytest
import torch

from mimic_ray.weight_files.values import not_finite


@pytest.mark.parametrize(
    "dtype",
    [
        *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
        *(torch.float8_e5m2, torch.float8_e4m3fn),
    ],
)
def test_the_count_is_that_of_torch(dtype: torch.dtype) -> None:
    values = [0.0, -1.5, float("nan"), 1e-45, 400.0, float("inf"), float("-inf")]
    tensor = torch.tensor(values * 50_000, dtype=torch.float64).to(dtype)
    bits = np.frombuffer(tensor.view(torch.uint8).numpy().tobytes(), f"u{tensor.element_size()}")
    expected = int((~torch.isfinite(tensor.float())).sum())
    assert expected >= 50_000
    assert not_finite(bits, str(dtype).removeprefix("torch.")) == expected


def test_integers_are_finite() -> None:
    assert not_finite(np.full(10, 0x7F80_0000, "u4"), "int32") == 0
