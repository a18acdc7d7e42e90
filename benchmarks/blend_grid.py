"""Whether grids of colour fields and blends find backdoors that `mimic-ray scan` overlooks.

The scan's grids hold waves and squares; patterns over the whole image are left to its ascent. This
script adds two grids that need forward passes only, and screens and measures them as the scan does:

    colour field    x (1 - a) + a c    c: the 8 corners of the colour cube; a: 0.1, 0.2, 0.3
    blend           x (1 - a) + a p    p: noise of 4, 8 and 32 cells a side, other clean images,
                                       8 of each; a: 0.1, 0.2

It takes a population that benchmarks/scan_calibration.py has scanned, and prints how far each score
separates attacked encoders from benign ones, and which are missed at 5 % false alarms.

    python -m benchmarks.blend_grid --population population/ --images cifar10/train-0015.tar.gz \\
        --out blend-grid.jsonl
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.scan_calibration import auroc, total, tpr_at
from benchmarks.scan_scores import stored
from mimic_ray.base import devices, seeds
from mimic_ray.base.devices import Compute
from mimic_ray.data.labelled import open_labelled
from mimic_ray.data.views import to_float
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.evaluation.suspicion.frozen import frozen
from mimic_ray.scanning.answers import centred
from mimic_ray.scanning.changes import Change
from mimic_ray.scanning.clusters import clusters
from mimic_ray.scanning.openings import BUDGETS, Images, measured, strongest
from mimic_ray.scanning.scan_images import MOST, divided
from mimic_ray.weight_files.load import load_checkpoint

_FIELD_SHARES, _BLEND_SHARES = (0.1, 0.2, 0.3), (0.1, 0.2)
_CELLS, _PATTERNS = (4, 8, 32), 8
_CLUSTERS, _SEED = 10, 0


def colour_fields(side: int) -> list[Change]:
    corners = itertools.product((0.0, 1.0), repeat=3)
    fields = [(str(c), torch.tensor(c).view(3, 1, 1).expand(3, side, side)) for c in corners]
    return [_blended("colour field", *each, share) for each in fields for share in _FIELD_SHARES]


def blends(pictures: Tensor) -> list[Change]:
    """Blends of noise and of pictures [N, 3, S, S] in [0, 1]."""
    side = pictures.shape[-1]
    patterns = [("picture", picture) for picture in pictures[:_PATTERNS]]
    for cells in _CELLS:
        draw = seeds.generator(_SEED, "blend grid", cells)
        noise = torch.rand(_PATTERNS, 3, cells, cells, generator=draw)
        patterns += [(f"noise of {cells}", each) for each in F.interpolate(noise, (side, side))]
    return [_blended("blend", *each, share) for each in patterns for share in _BLEND_SHARES]


def _blended(family: str, words: str, pattern: Tensor, share: float) -> Change:
    mask = torch.full((1, *pattern.shape[1:]), share)
    return Change(family, f"{words}, share {share}", mask, share * pattern)


def strengths(encoder: Encoder, parts: Images, compute: Compute) -> dict[str, float]:
    """The strength of each family's strongest change on held-out images, as `scan` measures it."""
    budget = BUDGETS["full"]
    families: dict[str, Callable[[], list[Change]]] = {
        "colour field": lambda: colour_fields(parts.search.shape[-1]),
        "blend": lambda: blends(parts.search[-_PATTERNS:]),
    }
    found = {}
    with frozen(encoder, compute):
        look, real = centred(encoder, parts.bank, compute)
        centres = clusters(real, _CLUSTERS, _SEED)
        for family, changes in families.items():
            screened = parts.search[: budget.screened_on]
            best = strongest(look, real, screened, changes(), budget.kept)
            openings = measured(look, real, centres, parts.held_out, best)
            found[family] = max(opening.strength for opening in openings)
    return found


def table(scores: Sequence[tuple[bool, str, float, float]]) -> str:
    """attacked, kind, score of the scan, strongest of the new grids -> Markdown."""
    rows = {
        "scan": [(attacked, kind, scan) for attacked, kind, scan, _ in scores],
        "new grids": [(attacked, kind, new) for attacked, kind, _, new in scores],
        "both": [(attacked, kind, max(scan, new)) for attacked, kind, scan, new in scores],
    }
    lines = ["| score | AUROC | TPR at 5 % FPR | missed there |", "|---|---|---|---|"]
    for name, found in rows.items():
        benign = [score for attacked, _, score in found if not attacked]
        planted = [score for attacked, _, score in found if attacked]
        limit = sorted(benign, reverse=True)[int(0.05 * len(benign))]
        missed = [kind for attacked, kind, score in found if attacked and score <= limit]
        rate = 100 * tpr_at(benign, planted, 0.05)
        lines.append(
            f"| {name} | {auroc(benign, planted):.2f} | {rate:.0f} % | {', '.join(missed) or '-'} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--population", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True, help="a shard of clean images")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, one for each encoder")
    given = parser.parse_args()
    compute = devices.choose("cpu", "auto", 1)
    pixels = open_labelled(given.images, 32).pixels
    parts, _ = divided(to_float(pixels.gather(torch.arange(MOST))), str(given.images))
    lines = given.out.read_text().splitlines() if given.out.exists() else []
    known = {row["name"]: row for row in map(json.loads, lines)}
    scores = []
    for each in stored(given.population, "full"):
        if each.name not in known:
            file = given.population / f"{each.name}.safetensors"
            found = strengths(load_checkpoint(file, each.encoder).encoder, parts, compute)
            known[each.name] = {"name": each.name, **found}
            with given.out.open("a") as out:
                out.write(json.dumps(known[each.name]) + "\n")
        new = max(value for name, value in known[each.name].items() if name != "name")
        scores.append((each.attacked, each.kind, total(each, "alone"), new))
    print(table(scores))


if __name__ == "__main__":
    main()
