"""CPU time of a training pass with synchronised batch norm, as a ratio to plain batch norm.

One process, so communication is left out: what is compared is the arithmetic.

python -m benchmarks.batch_norm
"""

from __future__ import annotations

import copy
import tempfile
import time

import torch
import torch.distributed as dist
from torch import nn

from mimic_ray.encoders.encoder_registry import build
from mimic_ray.method.synchronised_norm import synchronise

_ENCODER, _BATCH, _PASSES = "cifar_resnet20", 64, 12


def seconds(net: nn.Module, precision: torch.dtype) -> float:
    """The fastest of several forward and backward passes, in CPU seconds."""
    images = torch.rand(_BATCH, 3, 32, 32).to(memory_format=torch.channels_last)
    net = net.to(memory_format=torch.channels_last).train()
    found = []
    for _ in range(_PASSES):
        start = time.process_time()
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            features = net(images)
        features.float().square().mean().backward()
        found.append(time.process_time() - start)
    return min(found)


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        dist.init_process_group(
            "gloo", init_method=f"file://{folder}/rendezvous", rank=0, world_size=1
        )
        compare()
        dist.destroy_process_group()


def compare() -> None:
    """Prints both times for each precision."""
    plain = build(_ENCODER).net
    synchronised = copy.deepcopy(plain)
    synchronise(synchronised, torch.device("cpu"))
    for precision in (torch.float32, torch.bfloat16):
        one, other = (seconds(net, precision) for net in (plain, synchronised))
        print(
            f"{precision}: {1e3 * one:.0f} ms, synchronised {1e3 * other:.0f} ms, "
            f"{other / one:.2f} times as long"
        )


if __name__ == "__main__":
    main()
