from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mimic_ray.data.resize import centre_square


def test_an_image_of_the_right_size_is_returned_unchanged():
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert centre_square(image, 16) is image


@pytest.mark.parametrize("shape", [(64, 48), (48, 64), (40, 40), (16, 20)])
def test_the_centre_equals_resizing_the_shorter_side_and_cropping(shape):
    from torchvision.transforms import v2
    from torchvision.transforms.v2 import functional

    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    waves = 127 + 60 * np.sin(x / 5) + 60 * np.cos(y / 7)
    image = np.stack([waves, 255 - waves, waves / 2], axis=2).astype(np.uint8)
    torchvision_way = v2.Compose([v2.Resize(24, v2.InterpolationMode.BICUBIC), v2.CenterCrop(24)])
    expected = functional.pil_to_tensor(torchvision_way(Image.fromarray(image)))
    difference = centre_square(image, 24).transpose(2, 0, 1).astype(int) - expected.numpy()
    assert np.abs(difference).max() <= 2


def test_downscaling_is_antialiased():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 254
    # Without antialiasing every eighth column is picked, and all have one colour.
    assert np.abs(centre_square(stripes, 8).astype(int) - 127).max() <= 8


def test_a_one_pixel_wide_image_is_cropped_before_it_is_enlarged():
    assert centre_square(np.full((60_000, 1, 3), 7, np.uint8), 256).tolist()[0][0] == [7, 7, 7]
