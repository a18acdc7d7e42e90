"""Trains an encoder from random weights: by SimCLR without labels, or as a classifier.

For the measurements of encoders that no file provides at this size. `mimic-ray attack` then attacks
them. SimCLR's views, loss and projector are those of the product; the classifier sees images that
are flipped and shifted. A file of a classifier also has its head, for `--head own`.

    python -m benchmarks.train_encoder --by simclr --encoder cifar_resnet20 \\
        --data "cifar10/train-*.tar.gz" --epochs 12 --out simclr.safetensors
    python -m benchmarks.train_encoder --by labels --encoder vit_ti16@64 \\
        --data "cifar10/train-*.tar.gz" --epochs 15 --out vit.safetensors
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from mimic_ray.attacks.poisoning import pretrain
from mimic_ray.base import devices, seeds
from mimic_ray.base.devices import Compute
from mimic_ray.data.decoded_set import open_pixels
from mimic_ray.data.epoch import EpochPlan
from mimic_ray.data.image_source import open_images
from mimic_ray.data.labelled import open_labelled
from mimic_ray.data.views import flip_and_shift, to_float
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.method.schedule import learning_rate
from mimic_ray.method.student_start import untrained

_EVERY_S = 30
Report = Callable[[int, int, float], None]


def by_simclr(encoder: Encoder, asked: argparse.Namespace, compute: Compute) -> dict[str, Tensor]:
    images = open_pixels(open_images(asked.data), encoder.spec.input_size)
    pretrain(
        encoder,
        images,
        compute,
        steps=asked.epochs * (len(images) // asked.batch),
        batch=asked.batch,
        rate=asked.rate,
        seed=asked.seed,
        on_step=reporting(),
    )
    return encoder.net.state_dict()


def by_labels(encoder: Encoder, asked: argparse.Namespace, compute: Compute) -> dict[str, Tensor]:
    """Cross-entropy of a linear head with AdamW. The head's keys are `head.weight`, `head.bias`."""
    device, side = compute.torch_device, encoder.spec.input_size
    found = open_labelled(asked.data, side)
    classes = int(found.labels.max()) + 1
    encoder.to(device).requires_grad_(True).train()
    with seeds.torch_seeded(asked.seed, device):
        head = nn.Linear(encoder.spec.feature_width, classes).to(device)
    weights = [*encoder.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(weights, asked.rate, weight_decay=0.05)
    plan = EpochPlan(len(found.pixels), asked.batch, asked.seed)
    steps, report = asked.epochs * plan.steps_per_epoch, reporting()
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, steps, asked.rate, "one_cycle", warmup=0.1)
        chosen = plan.batch(step)
        keys = seeds.keys(asked.seed, "step", step // plan.steps_per_epoch, chosen)
        pixels = found.pixels.gather(chosen).to(device)
        view = flip_and_shift(to_float(pixels), keys.to(device), side=side)
        with compute.autocast():
            logits = head(encoder(view)).float()
        loss = F.cross_entropy(logits, found.labels[chosen].to(device), label_smoothing=0.1)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        report(step + 1, steps, loss.item())
    encoder.cpu().eval()
    head_state = {f"head.{name}": value.cpu() for name, value in head.state_dict().items()}
    return {**encoder.net.state_dict(), **head_state}


def reporting() -> Report:
    """Prints a line every 30 seconds and at the end."""
    start = shown = time.monotonic()

    def report(done: int, total: int, loss: float) -> None:
        nonlocal shown
        if done == total or time.monotonic() - shown > _EVERY_S:
            shown = time.monotonic()
            print(f"step {done} of {total}, loss {loss:.3f}, {shown - start:.0f} s", flush=True)

    return report


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--by", choices=("simclr", "labels"), required=True)
    arguments.add_argument("--encoder", default="cifar_resnet20")
    arguments.add_argument("--data", required=True)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--epochs", type=int, default=12)
    arguments.add_argument("--batch", type=int, default=256)
    arguments.add_argument("--rate", type=float, default=1e-3)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--threads", type=int, default=1)
    asked = arguments.parse_args()
    compute = devices.choose("auto", "auto", asked.threads)
    encoder = untrained(asked.encoder, asked.seed)
    start = time.process_time()
    train = {"simclr": by_simclr, "labels": by_labels}[asked.by]
    state = train(encoder, asked, compute)
    save_file({name: value.detach().contiguous() for name, value in state.items()}, asked.out)
    print(f"{asked.out}: {time.process_time() - start:.0f} CPU seconds, {compute.facts()}")


if __name__ == "__main__":
    main()
