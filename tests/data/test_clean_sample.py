"""A first look at a clean set: whether its images differ, and their size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from mimic_ray.base.errors import DataError
from mimic_ray.data.clean_sample import clean_sample, require_variety, resizing_note
from mimic_ray.data.image_source import open_images


def save(folder, sizes):
    """An image of noise of each (width, height)."""
    folder.mkdir()
    draw = np.random.default_rng(0)
    for number, (width, height) in enumerate(sizes):
        pixels = draw.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03}.png")
    return open_images(folder)


def test_a_sample_is_spread_over_the_set_and_has_the_median_size(tmp_path):
    source = save(tmp_path / "set", [(8, 8)] * 20 + [(40, 30)] * 44)
    sample = clean_sample(source, 8)
    assert sample.images.shape == (16, 3, 8, 8)
    assert (sample.width, sample.height) == (40, 30)
    first = np.asarray(Image.open(tmp_path / "set" / "000.png")).transpose(2, 0, 1)
    assert torch.equal(sample.images[0], torch.from_numpy(first.copy()) / 255)


def test_broken_images_are_left_to_the_decoding_of_all(tmp_path):
    save(tmp_path / "set", [(8, 8)] * 3)
    (tmp_path / "set" / "001.png").write_bytes(b"\x89PNG no image")
    assert len(clean_sample(open_images(tmp_path / "set"), 8).images) == 2
    for path in (tmp_path / "set").iterdir():
        path.write_bytes(b"\x89PNG no image")
    assert clean_sample(open_images(tmp_path / "set"), 8) is None


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ((100, 65), "reduced from 100 x 65 pixels (median) to 32 x 32, the input size of e."),
        ((15, 40), "enlarged from 15 x 40 pixels (median) to 32 x 32, the input size of e."),
        ((100, 64), ""),
        ((32, 32), ""),
        ((16, 16), ""),
    ],
)
def test_a_factor_of_more_than_two_is_said(tmp_path, size, words):
    sample = clean_sample(save(tmp_path / "set", [size] * 3), 32)
    assert resizing_note(sample, 32, "e", "photos") == (
        words and f"The images of photos are {words}"
    )


def test_images_that_tell_nothing_are_refused():
    noise = torch.rand(8, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    require_variety(noise, "photos")
    with pytest.raises(DataError, match="Each image of photos has a single colour"):
        require_variety(noise[:, :, :1, :1].expand(-1, -1, 8, 8), "photos")
    with pytest.raises(DataError, match="images of photos are all equal"):
        require_variety(noise[:1].expand(8, -1, -1, -1), "photos")
