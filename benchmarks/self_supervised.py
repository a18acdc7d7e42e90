"""Pre-trains an encoder by SimCLR, from random weights and unlabelled images.

The encoder for the measurements of self-supervised encoders, which `mimic-ray attack` then attacks.
Views, loss and projector are those of the product.

    python -m benchmarks.self_supervised --encoder cifar_resnet20 --data "cifar10/train-*.tar.gz" \\
        --epochs 25 --out simclr.safetensors
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from safetensors.torch import save_file

from mimic_ray.attacks.poisoning import pretrain
from mimic_ray.base import devices
from mimic_ray.data.decoded_set import open_pixels
from mimic_ray.data.image_source import open_images
from mimic_ray.method.student_start import untrained

_EVERY_S = 30


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--encoder", default="cifar_resnet20")
    arguments.add_argument("--data", required=True)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--epochs", type=int, default=25)
    arguments.add_argument("--batch", type=int, default=256, help="images, each in two views")
    arguments.add_argument("--rate", type=float, default=1e-3)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--threads", type=int, default=1)
    asked = arguments.parse_args()
    compute = devices.choose("auto", "auto", asked.threads)
    encoder = untrained(asked.encoder, asked.seed)
    images = open_pixels(open_images(asked.data), encoder.spec.input_size)
    steps = asked.epochs * (len(images) // asked.batch)
    start = shown = time.monotonic()

    def report(done: int, total: int, loss: float) -> None:
        nonlocal shown
        if done == total or time.monotonic() - shown > _EVERY_S:
            shown = time.monotonic()
            print(f"step {done} of {total}, loss {loss:.3f}, {shown - start:.0f} s", flush=True)

    pretrain(
        encoder,
        images,
        compute,
        steps=steps,
        batch=asked.batch,
        rate=asked.rate,
        seed=asked.seed,
        on_step=report,
    )
    save_file({k: v.contiguous() for k, v in encoder.net.state_dict().items()}, asked.out)
    print(f"{asked.out}: {len(images)} images, {asked.epochs} epochs, {compute.facts()}")


if __name__ == "__main__":
    main()
