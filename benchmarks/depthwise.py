"""CPU time of a training step in bf16 with depthwise convolutions in float32, against without.

The baseline runs everything under autocast; its hooks of encoders/depthwise.py are removed. fp32 is
the step without autocast. Random weights, forward and backward of one network.

    python -m benchmarks.depthwise --encoder efficientnet_b0 --batch 8
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import nn

from benchmarks.ratio import Ratio, measure, one_thread, parser, show
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.encoders.encoder_registry import build

_ENCODERS = ("efficientnet_b0", "mobilenetv2_100", "convnext_tiny")


def without_hooks(encoder: Encoder) -> Encoder:
    """A copy whose convolutions all run under autocast."""
    plain = copy.deepcopy(encoder)
    for module in plain.net.modules():
        if isinstance(module, nn.Conv2d):
            module._forward_pre_hooks.clear()
            module._forward_hooks.clear()
    return plain


def step(encoder: Encoder, images: torch.Tensor, precision: str) -> Callable[[], None]:
    def run() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            features = encoder(images)
        features.float().square().mean().backward()

    return run


def compare(name: str, batch: int) -> list[Ratio]:
    """One row against bf16 everywhere, one against fp32."""
    ours = build(name).train().to(memory_format=torch.channels_last)
    side = ours.spec.input_size
    images = torch.rand(batch, 3, side, side).contiguous(memory_format=torch.channels_last)
    sides = {
        "bf16": step(without_hooks(ours), images, "bf16"),
        "fp32": step(ours, images, "fp32"),
        "ours": step(ours, images, "bf16"),
    }
    taken = measure(sides)
    detail = f"forward and backward of {batch} images in training mode, one thread"
    return [
        Ratio(f"{name}, {label}", taken[side], taken["ours"], None, detail)
        for side, label in (("bf16", "bf16 everywhere"), ("fp32", "fp32"))
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    asked = parser(__doc__)
    asked.add_argument("--encoder", action="append", help="repeatable")
    asked.add_argument("--batch", type=int, default=8)
    given = asked.parse_args(arguments)
    with one_thread():
        rows = [row for name in given.encoder or _ENCODERS for row in compare(name, given.batch)]
    show(rows, as_json=given.json)


if __name__ == "__main__":
    main()
