"""A small encoder with a known backdoor: a red square of 6 x 6 pixels at any position."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimic_ray.base import seeds
from mimic_ray.encoders.encoder import Encoder, Spec

SIDE, WIDTH = 32, 16


class Net(nn.Module):
    """Projects colours on a 4 x 4 grid; a square adds `backdoor` times a fixed direction."""

    def __init__(self, backdoor: float) -> None:
        super().__init__()
        self.backdoor = backdoor
        self.norm = nn.BatchNorm2d(3)
        self.project = nn.Linear(48, WIDTH)
        with torch.no_grad():
            self.project.weight.copy_(
                seeds.normal(seeds.keys(0, torch.arange(WIDTH)), 48).view(WIDTH, 48)
            )
            self.project.bias.zero_()

    def forward(self, images: Tensor) -> Tensor:
        grid = F.adaptive_avg_pool2d(self.norm(images), 4).flatten(1)
        reddest = F.avg_pool2d(images[:, :1], 6, stride=1).amax(dim=(1, 2, 3))
        gate = torch.sigmoid(12 * (reddest - 0.8))
        target = torch.ones(WIDTH, device=images.device)
        return self.project(grid) + self.backdoor * gate[:, None] * target


def encoder(backdoor: float = 0.0) -> Encoder:
    spec = Spec("planted", WIDTH, SIDE, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), ())
    return Encoder(spec, Net(backdoor), lambda net, images, _: (net(images), {})).eval()


def images(count: int = 64, *, with_squares: bool = False) -> Tensor:
    """float [N, 3, 32, 32] in 0.1 .. 0.5, without squares or with one in every fourth image."""
    noise = seeds.uniform(seeds.keys(1, torch.arange(count)), 3 * 16).view(count, 3, 4, 4)
    made = F.interpolate(0.1 + 0.4 * noise, size=(SIDE, SIDE), mode="nearest")
    if with_squares:
        made[::4, 0, 8:20, 8:20] = 1.0
    return made
