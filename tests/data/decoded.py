"""Expected decoded images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mimic_ray.data.decode import decode
from mimic_ray.data.resize import centre_square


def break_images(folder: Path, *numbers: int) -> Path:
    """Truncates these images of the `image_folder` fixture."""
    for number in numbers:
        path = sorted(folder.glob("[cd]*/*.png"))[number]
        path.write_bytes(path.read_bytes()[:60])
    return folder


def everything(pixels) -> np.ndarray:
    return pixels.gather(torch.arange(len(pixels))).numpy()


def squares(source, side: int) -> list[np.ndarray]:
    """All images of a source, decoded one by one."""
    rows = range(len(source))
    return [centre_square(decode(source.read(row)), side).transpose(2, 0, 1) for row in rows]
