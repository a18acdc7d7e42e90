"""Our SimCLR views against the authors' transform: torchvision on PIL images, one by one.

Both start from uint8 pixels in memory and end with a normalised float batch. One thread.
"""

from __future__ import annotations

import torch
from PIL import Image
from torchvision import transforms

from mimic_ray.base import seeds
from mimic_ray.data.views import simclr
from mimic_ray.workflows.bench_ratio import Ratio, one_thread, picture_pixels, take_turns

# CIFAR-10's statistics, as the authors normalise.
_MEAN, _STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


def bench_augment(seconds: float = 3.0) -> list[Ratio]:
    """Seconds a view at 32 pixels and for 256-pixel images seen at 224; `seconds` for each."""
    with one_thread():
        return [
            _bench(image_side=32, side=32, batch=256, wanted=8.0, seconds=seconds),
            _bench(image_side=256, side=224, batch=32, wanted=2.5, seconds=seconds),
        ]


def _bench(image_side: int, side: int, batch: int, wanted: float, seconds: float) -> Ratio:
    pixels = picture_pixels(batch, image_side)
    arrays = pixels.permute(0, 2, 3, 1).contiguous().numpy()
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(side),
            transforms.RandomHorizontalFlip(),
            transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
            transforms.RandomGrayscale(p=0.2),
            transforms.ToTensor(),
            transforms.Normalize(_MEAN, _STD),
        ]
    )
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (_MEAN, _STD))
    step = 0

    def plain() -> torch.Tensor:
        return torch.stack([transform(Image.fromarray(array)) for array in arrays])

    def ours() -> torch.Tensor:
        nonlocal step
        step += 1  # other parameters each time, as the plain way has
        keys = seeds.keys(0, step, torch.arange(batch))
        return simclr(pixels, keys, side=side).sub_(mean).div_(std)

    plain_s, ours_s = take_turns(plain, ours, seconds)
    return Ratio(
        name=f"SimCLR view, {image_side} -> {side} px",
        plain_s=plain_s / batch,
        ours_s=ours_s / batch,
        wanted=wanted,
        detail="seconds a view, one thread; torchvision transforms on PIL images",
    )
