"""The interface, on a network with simple outputs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mimic_ray.encoders.encoder import Encoder, Spec


def _run(net: Any, images: Tensor, requested: frozenset[str]) -> tuple[Tensor, dict[str, Tensor]]:
    return net(images).mean(dim=(2, 3)), {tap: images * int(tap) for tap in requested}


@pytest.fixture
def encoder() -> Encoder:
    spec = Spec("toy", 3, 4, (0.5, 0.25, 0.0), (0.5, 0.25, 2.0), ("1", "2", "3"))
    return Encoder(spec, nn.Identity(), _run)


def test_images_are_normalised_per_channel(encoder: Encoder) -> None:
    white = encoder(torch.ones(1, 3, 4, 4))
    torch.testing.assert_close(white, torch.tensor([[1.0, 3.0, 0.5]]))


def test_maps_have_the_requested_order(encoder: Encoder) -> None:
    _, maps = encoder(torch.rand(2, 3, 4, 4), ["3", "1"])
    torch.testing.assert_close(maps[0], 3 * maps[1])


@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (2, 1, 4, 4), (3, 4, 4)])
def test_images_of_another_shape_are_refused_with_both_shapes(
    encoder: Encoder, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"toy takes \[B, 3, 4, 4\], got \[.*\]"):
        encoder(torch.rand(shape))


def test_an_unknown_tap_is_refused_with_the_known_ones(encoder: Encoder) -> None:
    with pytest.raises(ValueError, match=r"no tap \['layer9'\], only \('1', '2', '3'\)"):
        encoder(torch.rand(1, 3, 4, 4), ["layer9", "1"])


def test_the_statistics_are_not_in_the_state_dict(encoder: Encoder) -> None:
    assert not encoder.state_dict()
