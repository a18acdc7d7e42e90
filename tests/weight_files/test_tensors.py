from __future__ import annotations

import pytest
import torch

from mimic_ray.base.errors import DamagedCheckpointError
from mimic_ray.weight_files.tensors import not_finite, replacement, savable


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_values_that_are_not_finite_are_counted(value: float, dtype: torch.dtype) -> None:
    tensor = torch.zeros(10, dtype=dtype)
    assert not_finite(tensor) == 0
    tensor[3:5] = value
    assert not_finite(tensor) == 2
    assert not_finite(torch.zeros(0, dtype=dtype)) == 0


def test_a_replacement_has_the_old_precision_and_shape() -> None:
    old = torch.zeros(3, dtype=torch.float16)
    new = replacement(old, torch.tensor([1.0, 2, 3]), "w", "file")
    assert new.dtype == torch.float16
    with pytest.raises(DamagedCheckpointError, match=r'"w" is \[3\], not \[2\]'):
        replacement(old, torch.zeros(2), "w", "file")
    with pytest.raises(DamagedCheckpointError, match=r'"w" has NaN or infinity in 1 of 3 values'):
        replacement(old, torch.tensor([1e9, 0, 0]), "w", "file")


def test_savable_tensors_share_no_memory() -> None:
    base = torch.arange(6.0).view(2, 3)
    ready = savable({"a": base, "b": base, "c": base.t()})
    assert len({tensor.data_ptr() for tensor in ready.values()}) == 3
    assert all(tensor.is_contiguous() for tensor in ready.values())
    assert torch.equal(ready["c"], base.t())
