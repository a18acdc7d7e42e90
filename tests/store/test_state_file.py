from __future__ import annotations

import pytest
import torch
from torch import nn

from mimic_ray.store.state_file import read_state, write_state


def round_trip(folder, state):
    write_state(folder, state)
    return read_state(folder)


def assert_same(left, right):
    """Equal in structure, types and bits."""
    assert type(left) is type(right)
    if isinstance(left, torch.Tensor):
        assert left.dtype == right.dtype
        assert left.shape == right.shape
        assert left.stride() == right.stride()
        assert torch.equal(left, right)
    elif isinstance(left, dict):
        assert [*left] == [*right]
        for key in left:
            assert_same(left[key], right[key])
    elif isinstance(left, list | tuple):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    else:
        assert left == right


def test_everything_a_state_may_hold_comes_back_as_it_was(tmp_path):
    state = {
        "weights": {"a.b": torch.randn(3, 4), "half": torch.randn(5).bfloat16()},
        "counts": torch.tensor([2**62, -1]),
        "flag": torch.tensor([True, False]),
        "scalar": torch.tensor(0.1),
        "empty": torch.empty(0, 3),
        "numbers": [0.1, 1e-300, 2**100, -3, True, None, "text \u00e9 \x1b"],
        "by number": {0: "zero", 7: {"deep": ()}},
        "both": {1: "int", "1": "text"},
        "tuple": (0.9, 0.999),
    }
    assert_same(round_trip(tmp_path, state), state)


def test_infinities_and_the_sign_of_zero_survive(tmp_path):
    back = round_trip(tmp_path, {"a": float("inf"), "b": -0.0, "c": float("nan")})
    assert back["a"] == float("inf")
    assert str(back["b"]) == "-0.0"
    assert back["c"] != back["c"]


def test_keys_that_look_alike_when_joined_stay_apart(tmp_path):
    state = {"a": {"b/c": torch.ones(1)}, "a/b": {"c": torch.zeros(1)}}
    assert_same(round_trip(tmp_path, state), state)


def test_memory_format_survives(tmp_path):
    state = {"weight": torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last)}
    assert round_trip(tmp_path, state)["weight"].is_contiguous(memory_format=torch.channels_last)


def test_tied_weights_and_views_are_stored_each_on_its_own(tmp_path):
    whole = torch.arange(12.0).view(3, 4)
    state = {"tied": whole, "again": whole, "row": whole[1], "column": whole[:, 1]}
    back = round_trip(tmp_path, state)
    for name, tensor in state.items():
        assert torch.equal(back[name], tensor)
    assert (tmp_path / "tensors.safetensors").stat().st_size < 2000


def test_a_small_view_does_not_store_the_large_tensor_behind_it(tmp_path):
    write_state(tmp_path, {"view": torch.zeros(1_000_000)[:2]})
    assert (tmp_path / "tensors.safetensors").stat().st_size < 2000


def test_adam_goes_on_with_the_same_bits(tmp_path):
    def trained(steps, start=None):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))
        adam = torch.optim.Adam(net.parameters(), lr=0.01)
        if start:
            net.load_state_dict(start["net"])
            adam.load_state_dict(start["adam"])
        for step in steps:
            images = torch.randn(16, 4, generator=torch.Generator().manual_seed(step))
            adam.zero_grad()
            net(images).square().mean().backward()
            adam.step()
        return {"net": net.state_dict(), "adam": adam.state_dict()}

    halfway = trained(range(10))
    assert_same(round_trip(tmp_path, halfway), {**halfway, "net": dict(halfway["net"])})
    assert_same(trained(range(10, 20), start=read_state(tmp_path)), trained(range(20)))


@pytest.mark.parametrize(
    ("state", "named"),
    [
        ({"a": {"b": [object()]}}, "state at a/b/0 is a object"),
        ({"a": {1.5: 2}}, "state at a has the key 1.5"),
        ({"a": {True: 2}}, "state at a has the key True"),
    ],
)
def test_what_cannot_be_stored_is_named_with_its_place(tmp_path, state, named):
    with pytest.raises(TypeError, match=named):
        write_state(tmp_path, state)


def test_nothing_is_pickled(tmp_path):
    write_state(tmp_path, {"a": torch.ones(2), "b": {1: 2}})
    for path in tmp_path.iterdir():
        assert path.suffix in {".json", ".safetensors"}
        assert not path.read_bytes().startswith((b"\x80", b"PK"))
