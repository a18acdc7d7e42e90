"""DECREE (Feng et al., CVPR 2023, arXiv 2303.15180) on a population of encoders, as a baseline.

Trigger inversion as in the authors' code for images of 32 pixels: a mask m [S, S] and a pattern
p [S, S, 3], both tanh / 2 + 1/2 of free numbers with a uniform start;

    x' = clip((1 - m) x + m p)
    L  = - mean cosine over pairs of different images of a batch + lambda * sum of m over S x S x 3

Adam with betas (0.5, 0.9), rate 0.5, from epoch 30 on 0.1, from epoch 50 on 0.05. lambda starts at
1e-3, times 5 after more than 5 steps in a row with a cosine above 0.99, divided by 5 after more
than 5 others, set back to 1e-3 where it is below 1e-5 and more than 10 steps in a row were good.
Batches of 128; it ends when the mask did not shrink for 10 steps and the epoch's cosine is above
0.99, or after the given number of epochs. The score is the size of the smallest mask as a share of
the image, PL1; the authors call an encoder backdoored below 0.1.

Departure: features in float32 on the CPU, and fewer images and epochs by default (theirs: 1,000
images, up to 1,000 epochs); --images and --epochs set them.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.scan_calibration import auroc, tpr_at
from mimic_ray.base import devices, files
from mimic_ray.base.devices import Compute
from mimic_ray.data.labelled import open_labelled
from mimic_ray.data.views import to_float
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.evaluation.suspicion.frozen import concentration, frozen, unit_features
from mimic_ray.weight_files.load import load_checkpoint

_SEED = 80
_ENOUGH, _PATIENCE = 0.99, 5
_FIRST, _FLOOR, _FACTOR = 1e-3, 1e-5, 5.0
_UNTIL = 10  # steps without a smaller mask
_THRESHOLD = 0.1


@dataclass(frozen=True)
class Inverted:
    """PL1 of the smallest mask, 1 if no batch reached the cosine; epochs and CPU seconds."""

    size: float
    epochs: int
    seconds: float


def decree(
    encoder: Encoder, images: Tensor, compute: Compute, *, epochs: int, batch: int = 128
) -> Inverted:
    """Inverts a trigger of a frozen encoder from images [N, 3, S, S] in [0, 1], N >= batch."""
    start = time.process_time()
    side = images.shape[-1]
    draw = torch.Generator().manual_seed(_SEED)
    mask = torch.rand(1, side, side, generator=draw, dtype=torch.float64).requires_grad_()
    pattern = torch.rand(3, side, side, generator=draw, dtype=torch.float64).requires_grad_()
    optimiser = torch.optim.Adam([mask, pattern], lr=0.5, betas=(0.5, 0.9))
    weight, good, bad, since, best, done = _FIRST, 0, 0, 0, float("inf"), 0
    for epoch in range(epochs):
        rate = 0.5 if epoch < 30 else 0.1 if epoch < 50 else 0.05
        for group in optimiser.param_groups:
            group["lr"] = rate
        cosines = []
        order = torch.randperm(len(images), generator=draw)
        for rows in order.split(batch):
            if len(rows) < batch:
                continue
            m, p = mask.tanh() / 2 + 0.5, pattern.tanh() / 2 + 0.5
            changed = ((1 - m) * images[rows] + m * p).clamp(0, 1).to(torch.float32)
            cosine = concentration(unit_features(encoder, changed, compute))
            size = 3 * m.sum()
            optimiser.zero_grad()
            (-cosine + weight * size).backward()
            optimiser.step()
            cosines.append(cosine.item())
            good, bad = (good + 1, 0) if cosines[-1] > _ENOUGH else (0, bad + 1)
            if good and size.item() < best:
                best, since = size.item(), 0
            else:
                since += 1
            if weight < _FLOOR and good > 2 * _PATIENCE:
                weight = _FIRST
            elif good > _PATIENCE:
                weight, good = weight * _FACTOR, 0
            elif bad > _PATIENCE:
                weight, bad = weight / _FACTOR, 0
        done = epoch + 1
        if since >= _UNTIL and np.mean(cosines) > _ENOUGH:
            break
    share = best / (3 * side * side)
    return Inverted(min(share, 1.0), done, time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--population", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="a shard of clean test images")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--pairs", type=int, default=10, help="only the first pairs")
    parser.add_argument(
        "--least-asr", type=float, default=90, help="attacked encoders below are not counted"
    )
    given = parser.parse_args()
    compute = devices.choose("cpu", "auto", 1)
    pixels = open_labelled(given.data, 32).pixels
    images = to_float(pixels.gather(torch.arange(given.images)))
    results = given.population / "decree"
    results.mkdir(exist_ok=True)
    sizes: dict[bool, list[float]] = {True: [], False: []}
    for file in sorted(given.population.glob("*-*.safetensors")):
        facts = json.loads(file.with_suffix(".json").read_text())
        if facts["pair"] >= given.pairs:
            continue
        result = results / f"{file.stem}.json"
        if not result.exists():
            encoder = load_checkpoint(file, facts["encoder"]).encoder
            with frozen(encoder, compute):
                found = decree(encoder, images, compute, epochs=given.epochs)
            files.write_json(result, {"kind": facts["kind"], **vars(found)})
        content = json.loads(result.read_text())
        if facts.get("asr", 100.0) >= given.least_asr:
            sizes[facts["attacked"]].append(content["size"])
        print(file.stem, content)
    attacked, benign = ([-size for size in sizes[which]] for which in (True, False))
    below = {
        which: np.mean([size < _THRESHOLD for size in sizes[which]]).round(3) for which in sizes
    }
    print(
        f"{len(attacked)} attacked, {len(benign)} benign: AUROC {auroc(benign, attacked):.3f}, TPR "
        f"at 5 % FPR {tpr_at(benign, attacked, 0.05):.3f}; below {_THRESHOLD}: attacked "
        f"{below[True]}, benign {below[False]}"
    )


if __name__ == "__main__":
    main()
