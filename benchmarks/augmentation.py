"""SimCLR views: the authors' transform (torchvision on PIL images, one by one) against ours.

Both start from uint8 pixels in memory and end with a normalised float batch. One thread.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torchvision import transforms

from benchmarks.ratio import Ratio, measure, one_thread, parser, show
from mimic_ray.base import seeds
from mimic_ray.data.synthetic_images import synthetic_pixels
from mimic_ray.data.views import simclr

# CIFAR-10's statistics, with which the authors normalise.
_MEAN, _STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


def benchmark(seconds: float = 3.0) -> list[Ratio]:
    """Seconds per view at 32 px, and for 256-px images at 224 px; `seconds` for each size."""
    with one_thread():
        return [
            _compare(image_side=32, side=32, batch=256, target=8.0, seconds=seconds),
            _compare(image_side=256, side=224, batch=32, target=2.5, seconds=seconds),
        ]


def _compare(image_side: int, side: int, batch: int, target: float, seconds: float) -> Ratio:
    pixels = synthetic_pixels(batch, image_side)
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

    def baseline() -> torch.Tensor:
        return torch.stack([transform(Image.fromarray(array)) for array in arrays])

    def ours() -> torch.Tensor:
        nonlocal step
        step += 1  # new parameters each time, as in the baseline
        keys = seeds.keys(0, step, torch.arange(batch))
        return simclr(pixels, keys, side=side).sub_(mean).div_(std)

    taken = measure({"baseline": baseline, "ours": ours}, seconds=seconds)
    return Ratio(
        name=f"SimCLR view, {image_side} -> {side} px",
        baseline_s=taken["baseline"] / batch,
        ours_s=taken["ours"] / batch,
        target=target,
        detail="seconds per view, one thread; torchvision transforms on PIL images",
    )


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--seconds", type=float, default=3.0, help="to measure each size for")
    parsed = options.parse_args(arguments)
    show(benchmark(parsed.seconds), as_json=parsed.json)


if __name__ == "__main__":
    main()
