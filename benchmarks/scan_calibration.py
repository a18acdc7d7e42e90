"""Scans a population of encoders, and sets and judges the limits of `mimic-ray scan` on it.

`--scan` scans each encoder of a folder that benchmarks/scan_population.py filled, once, and keeps
its scores beside it. The reference of a ResNet-20 is the public ResNet-32, that of the others the
public ResNet-20: never the file that the encoder was made from. Without `--scan`, only the stored
scores are used.

Judged with each kind of trigger left out in turn: the scale and the limits come from the other
kinds and the benign partners of their pairs. Limits in the package come from all of them.

The population is scanned on one image set. --image-sets takes the scores of public encoders on
several (benchmarks/scan_image_sets.py): an encoder is suspect from two standard deviations above
the limit, and between the two the scan cannot tell.

--from-rows takes the CSV file of an earlier calibration instead of a population.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.scan_image_sets import REFERENCES, spread
from benchmarks.scan_population import KINDS
from benchmarks.scan_scores import Scanned, read_rows, stored, write_rows
from mimic_ray.base import devices, files
from mimic_ray.base.effort import Effort
from mimic_ray.base.errors import DamagedCheckpointError
from mimic_ray.data.labelled import open_labelled
from mimic_ray.data.views import to_float
from mimic_ray.scanning.calibration import Scale
from mimic_ray.scanning.scan_images import MOST, divided
from mimic_ray.scanning.scanner import scan_encoder
from mimic_ray.weight_files.load import load_checkpoint

# The limits: the share of benign encoders above the first, of attacked ones below the second.
_FALSE_ALARMS, _OVERLOOKED = 0.05, 0.1
_STEP, _MARGIN = 1e-3, 0.1


def scan_all(population: Path, assets: Path, images: Path, effort: Effort, backwards: bool) -> None:
    """Scans every encoder that has no scores yet."""
    compute = devices.choose("cpu", "auto", 1)
    pixels = open_labelled(images, 32).pixels
    parts, _ = divided(to_float(pixels.gather(torch.arange(MOST))), str(images))
    public = {
        depth: load_checkpoint(assets / f"resnet{depth}-cifar10.th", f"cifar_resnet{depth}").encoder
        for depth in set(REFERENCES.values())
    }
    for file in sorted(population.glob("*-*.safetensors"), reverse=backwards):
        scores_file = population / "scans" / f"{file.stem}-{effort}.json"
        facts = json.loads(file.with_suffix(".json").read_text())
        if scores_file.exists():
            continue
        try:
            encoder = load_checkpoint(file, facts["encoder"]).encoder
        except DamagedCheckpointError:
            print(f"left out: the training of {file.stem} diverged")
            continue
        depth = facts["encoder"].removeprefix("cifar_resnet")
        found = scan_encoder(
            encoder, parts, compute, 0, effort, reference=public[REFERENCES[depth]]
        )
        scanned = Scanned(
            **{name: facts[name] for name in ("name", "pair", "attacked", "kind", "encoder")},
            asr=facts.get("asr", 0.0),
            alike=found.alike,
            alone=found.scores(),
            reference=found.excess(),
            seconds=found.seconds,
        )
        scores_file.parent.mkdir(exist_ok=True)
        openings = [
            [o.change.family, o.change.words, o.gathering, o.landing, o.sent, reference]
            for o, reference in zip(found.openings, found.reference, strict=True)
        ]
        files.write_json(scores_file, {**asdict(scanned), "openings": openings})
        print(scanned.name, scanned.kind, {k: round(v, 2) for k, v in found.scores().items()})


def total(encoder: Scanned, which: str) -> float:
    """The score of an encoder: its strongest family, `alone` or beyond the `reference`."""
    scores: Mapping[str, float] = getattr(encoder, which)
    return max(scores.values())


def fitted(encoders: Sequence[Scanned], which: str, spread: float = 0.0) -> Scale:
    """The limits for the scores of these encoders, whose images were the same. `spread`: how much
    higher a benign encoder may score on others."""
    usual = [total(each, which) for each in encoders if not each.attacked]
    planted = [total(each, which) for each in encoders if each.attacked]
    # A benign score that at most 5 % exceed, never one between two by interpolation.
    suspect_from = float(np.quantile(usual, 1 - _FALSE_ALARMS, method="higher")) + _STEP
    if len(usual) * _FALSE_ALARMS < 1:  # too few for that share: the largest score and a margin
        suspect_from += _MARGIN
        largest = suspect_from - _MARGIN
    else:
        largest = suspect_from
    below = min(float(np.quantile(planted, _OVERLOOKED, method="lower")), largest)
    return Scale(round(suspect_from + spread, 3), round(below, 3), {})


@dataclass(frozen=True)
class Left:
    """The score of an encoder, and its verdict by the limits of the others."""

    encoder: Scanned
    total: float
    verdict: str


def leave_one_kind_out(encoders: Sequence[Scanned], which: str, spread: float = 0.0) -> list[Left]:
    """Each encoder by limits without its trigger kind; benign ones go with their pair."""
    judged = []
    for number in range(len(KINDS)):
        out = [each for each in encoders if each.pair % len(KINDS) == number]
        scale = fitted([each for each in encoders if each not in out], which, spread)
        for each in out:
            score = total(each, which)
            suspect, nothing = score >= scale.suspect_from, score < scale.no_evidence_below
            verdict = "suspect" if suspect else "no evidence" if nothing else "cannot tell"
            judged.append(Left(each, score, verdict))
    return judged


def auroc(benign: Sequence[float], attacked: Sequence[float]) -> float:
    """The probability that an attacked encoder scores above a benign one; ties count half."""
    difference = np.array(attacked)[:, None] - np.array(benign)[None]
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())


def tpr_at(benign: Sequence[float], attacked: Sequence[float], fpr: float) -> float:
    """The share of attacked scores above all but at most `fpr` of the benign ones."""
    allowed = int(fpr * len(benign))
    limit = sorted(benign, reverse=True)[allowed]
    return float((np.array(attacked) > limit).mean())


def separation(judged: Sequence[Left], seed: int = 0) -> dict[str, Any]:
    """AUROC with a 95 % bootstrap interval over encoders, TPR, and the shares of each verdict."""
    benign = [each.total for each in judged if not each.encoder.attacked]
    attacked = [each.total for each in judged if each.encoder.attacked]
    draw = np.random.default_rng(seed)
    repeats = [
        auroc(
            draw.choice(benign, len(benign)).tolist(), draw.choice(attacked, len(attacked)).tolist()
        )
        for _ in range(1000)
    ]

    def share(is_attacked: bool, verdict: str) -> float:
        some = [each.verdict for each in judged if each.encoder.attacked == is_attacked]
        return round(some.count(verdict) / len(some), 3)

    return {
        "auroc": round(auroc(benign, attacked), 3),
        "auroc_low": round(float(np.quantile(repeats, 0.025)), 3),
        "auroc_high": round(float(np.quantile(repeats, 0.975)), 3),
        "tpr_at_1": round(tpr_at(benign, attacked, 0.01), 3),
        "tpr_at_5": round(tpr_at(benign, attacked, 0.05), 3),
        "attacked_suspect": share(True, "suspect"),
        "attacked_no_evidence": share(True, "no evidence"),
        "benign_suspect": share(False, "suspect"),
        "benign_no_evidence": share(False, "no evidence"),
    }


def calibrated(encoders: Sequence[Scanned], spreads: Mapping[str, float]) -> dict[str, Any]:
    """Both scales of one effort, as in calibration.json."""
    scales = {}
    for which, width in spreads.items():
        scale = fitted(encoders, which, width)
        facts = separation(leave_one_kind_out(encoders, which, width))
        scales[which] = {**asdict(scale), "facts": facts}
    return scales


def table(judged: Sequence[Left]) -> str:
    """One line for each trigger kind and each kind of benign fine-tuning, as Markdown."""
    lines = ["| kind | encoders | median score | suspect | cannot tell | no evidence |"]
    lines.append("|---|---|---|---|---|---|")
    for kind in dict.fromkeys(each.encoder.kind for each in judged):
        some = [each for each in judged if each.encoder.kind == kind]
        counts = [
            sum(e.verdict == v for e in some) for v in ("suspect", "cannot tell", "no evidence")
        ]
        median = np.median([each.total for each in some])
        lines.append(
            f"| {kind} | {len(some)} | {median:.2f} | " + " | ".join(map(str, counts)) + " |"
        )
    return "\n".join(lines)


def updated(
    content: dict[str, Any], encoders: Sequence[Scanned], effort: Effort, spreads: dict[str, float]
) -> dict[str, Any]:
    """calibration.json with the scales of one effort, from these encoders."""
    content["architectures"] = sorted({each.encoder for each in encoders})
    alike = [each.alike for each in encoders if not each.attacked and each.alike]
    if alike:  # not in a CSV file
        content["alike"] = [round(min(alike), 3), round(max(alike), 3)]
    content["population"] = {
        "attacked": sum(each.attacked for each in encoders),
        "benign": sum(not each.attacked for each in encoders),
        "triggers": sorted({each.kind for each in encoders if each.attacked}),
        "fine-tuning": sorted({each.kind for each in encoders if not each.attacked}),
        "made by": "benchmarks/scan_population.py --seed 0",
        "images": "CIFAR-10, JPEG",
    }
    content["efforts"][effort] = calibrated(encoders, spreads)
    return content


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--population", type=Path)
    parser.add_argument("--from-rows", type=Path, help="a CSV file instead of a population")
    parser.add_argument("--scan", action="store_true", help="first scan what has no scores yet")
    parser.add_argument("--assets", type=Path, help="folder of public weights")
    parser.add_argument("--images", type=Path, help="a shard of clean images")
    parser.add_argument("--image-sets", type=Path, help="scores of public encoders on several")
    parser.add_argument("--effort", choices=["quick", "full"], default="full")
    parser.add_argument("--backwards", action="store_true", help="scan the last pair first")
    parser.add_argument("--rows", type=Path, help="CSV file of all encoders to write")
    parser.add_argument("--write", type=Path, help="calibration.json to create or to update")
    given = parser.parse_args()
    if given.scan:
        scan_all(given.population, given.assets, given.images, given.effort, given.backwards)
    if given.from_rows:
        encoders = read_rows(given.from_rows)
    else:
        encoders = stored(given.population, given.effort)
    lines = given.image_sets.read_text().splitlines() if given.image_sets else []
    scores = [json.loads(line) for line in lines]
    spreads = {which: spread(scores, which) if scores else 0.0 for which in ("alone", "reference")}
    for which, width in spreads.items():
        judged = leave_one_kind_out(encoders, which, width)
        print(f"\n{which}: {json.dumps(separation(judged))}\n\n{table(judged)}")
    if given.rows:
        write_rows(given.rows, given.population, given.effort)
    if given.write:
        content = json.loads(given.write.read_text()) if given.write.exists() else {"efforts": {}}
        content = updated(content, encoders, given.effort, spreads)
        given.write.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
