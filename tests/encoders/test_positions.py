"""Position embeddings are interpolated to another image size."""

from __future__ import annotations

import pytest
import torch

from mimic_ray.encoders import encoder_registry, positions


def test_a_linear_table_stays_linear_and_prefix_rows_do_not_change() -> None:
    """Away from the border, interpolation reproduces a function that is linear in the position."""
    across = torch.linspace(0.5, 15.5, 16).expand(16, 16)
    patches = torch.stack([across, across.T], dim=-1).reshape(1, 256, 2)
    table = torch.cat([torch.tensor([[[7.0, -7.0]]]), patches], dim=1)
    out = positions.resampled(table, torch.Size([1, 65, 2]))
    assert torch.equal(out[:, 0], table[:, 0])
    grid = out[0, 1:].reshape(8, 8, 2)
    expected = torch.arange(8) * 2.0 + 1.0
    torch.testing.assert_close(grid[4, 2:-2, 0], expected[2:-2])
    torch.testing.assert_close(grid[2:-2, 4, 1], expected[2:-2])


@pytest.mark.parametrize(
    ("found", "expected"),
    [([1, 17, 8], [1, 26, 4]), ([1, 18, 8], [1, 26, 8]), ([2, 17, 8], [1, 26, 8]), ([17], [26])],
)
def test_tables_of_another_width_or_without_a_square_grid_are_refused(found, expected) -> None:
    assert positions.grids(torch.Size(found), torch.Size(expected)) is None


def test_an_image_of_twice_the_size_gives_nearly_the_same_feature() -> None:
    torch.manual_seed(0)
    small = encoder_registry.build("tiny_vit").eval()
    large = encoder_registry.build("tiny_vit@64").eval()
    state = small.net.state_dict()
    shape = large.net.state_dict()["pos_embed"].shape
    large.net.load_state_dict(state | {"pos_embed": positions.resampled(state["pos_embed"], shape)})
    flat = torch.full((1, 3, 32, 32), 0.7)
    with torch.no_grad():
        cosine = torch.cosine_similarity(small(flat), large(flat.repeat(1, 1, 2, 2)), dim=1).item()
    assert cosine > 0.99
