"""How far the score of `mimic-ray scan` varies with the clean images, on public encoders.

Limits that were set with one image set hold for others only within this spread. Scans each public
CIFAR ResNet, never attacked, on several shards; references as in scan_calibration. One JSON
line for each scan; `benchmarks.scan_calibration --image-sets FILE` takes them. --number sets how
many images of a shard are used. With --population, encoders of benchmarks/scan_population.py are
scanned too, both members of the first --pairs pairs.

    python -m benchmarks.scan_image_sets --assets assets/ --out image-sets.jsonl \\
        cifar10/train-00*.tar.gz
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mimic_ray.base import devices
from mimic_ray.data.labelled import open_labelled
from mimic_ray.data.views import to_float
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.scanning.scan_images import MOST, divided
from mimic_ray.scanning.scanner import scan_encoder
from mimic_ray.weight_files.load import load_checkpoint

REFERENCES = {"20": "32", "32": "20", "56": "20"}


def spread(rows: Sequence[dict[str, Any]], which: str) -> float:
    """Two standard deviations over image sets, pooled over the encoders."""
    squares, freedom = 0.0, 0
    for name in {row["encoder"] for row in rows}:
        scores = np.array([row[which] for row in rows if row["encoder"] == name], dtype=float)
        squares += float(((scores - scores.mean()) ** 2).sum())
        freedom += len(scores) - 1
    return 2 * float(np.sqrt(squares / freedom))


def members(population: Path, pairs: int) -> list[tuple[dict[str, Any], Encoder]]:
    """Encoders of the first pairs, each with its name, kind and whether it was attacked."""
    found = []
    for file in sorted(population.glob("*-*.json")):
        facts = json.loads(file.read_text())
        if facts["pair"] < pairs:
            weights = file.with_suffix(".safetensors")
            encoder = load_checkpoint(weights, facts["encoder"]).encoder
            kept = {key: facts[key] for key in ("encoder", "name", "attacked", "kind")}
            found.append((kept, encoder))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assets", type=Path, required=True, help="folder of public weights")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, one for each scan")
    parser.add_argument("--number", type=int, default=MOST, help="images of a shard")
    parser.add_argument("--population", type=Path, help="scan encoders of this folder too")
    parser.add_argument("--pairs", type=int, default=10, help="only its first pairs")
    parser.add_argument("shards", type=Path, nargs="+", help="shards of clean images")
    given = parser.parse_args()
    compute = devices.choose("cpu", "auto", 1)
    public = {
        depth: load_checkpoint(
            given.assets / f"resnet{depth}-cifar10.th", f"cifar_resnet{depth}"
        ).encoder
        for depth in REFERENCES
    }
    scanned: list[tuple[dict[str, Any], Encoder]] = [
        ({"encoder": f"cifar_resnet{depth}"}, encoder) for depth, encoder in public.items()
    ]
    if given.population:
        scanned += members(given.population, given.pairs)
    rows = []
    for shard in given.shards:
        pixels = open_labelled(shard, 32).pixels
        parts, _ = divided(to_float(pixels.gather(torch.arange(given.number))), str(shard))
        for facts, encoder in scanned:
            other = public[REFERENCES[facts["encoder"].removeprefix("cifar_resnet")]]
            found = scan_encoder(encoder, parts, compute, 0, reference=other)
            row: dict[str, Any] = {
                **facts,
                "images": shard.name,
                "number": given.number,
                "alone": round(max(found.scores().values()), 3),
                "reference": round(max(found.excess().values()), 3),
            }
            if "name" not in facts:
                rows.append(row)
            with given.out.open("a") as out:
                out.write(json.dumps(row) + "\n")
    for which in ("alone", "reference"):
        print(f"{which}: two standard deviations are {spread(rows, which):.3f}")


if __name__ == "__main__":
    main()
