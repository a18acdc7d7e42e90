"""A small convolutional encoder with batch norm, built here so that these tests need no family."""

import torch
from torch import nn

from mimic_ray.encoders.encoder import Encoder, Spec

SIDE = 8


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU()
        )
        self.stage = nn.Sequential(
            nn.Conv2d(6, 12, 3, 2, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU()
        )


def run(net, images, wanted):
    first = net.stem(images)
    second = net.stage(first)
    maps = {"stem": first, "stage": second}
    return second.mean(dim=(2, 3)), {tap: maps[tap] for tap in wanted}


def make(seed: int) -> Encoder:
    torch.manual_seed(seed)
    spec = Spec("small", 12, SIDE, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4), ("stem", "stage"))
    return Encoder(spec, Net(), run)


class Images:
    """Random decoded images."""

    def __init__(self, count: int, seed: int = 0, side: int = SIDE):
        generator = torch.Generator().manual_seed(seed)
        self.pixels = torch.randint(0, 256, (count, 3, side, side), generator=generator).byte()

    def __len__(self) -> int:
        return len(self.pixels)

    def gather(self, indices):
        return self.pixels[indices]
