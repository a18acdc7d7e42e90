"""Scans a population of encoders, and sets and judges the limits of `mimic-ray scan` on it.

`--scan` scans each encoder of a folder that benchmarks/scan_population.py filled, once, and keeps
its scores beside it. The reference of a ResNet-20 is the public ResNet-32, that of the others the
public ResNet-20: never the file that the encoder was made from. Without `--scan`, only the stored
scores are used.

Judged with each kind of trigger left out in turn: the scale and the limits come from the other
kinds and the benign partners of their pairs. Limits in the package come from all of them.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.scan_population import KINDS
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
_REFERENCES = {"20": "32", "32": "20", "56": "20"}
_SUCCESS = 90.0  # an attacked encoder with a lower ASR in percent is left out


@dataclass(frozen=True)
class Scanned:
    """One encoder of the population with its scores by family."""

    name: str
    pair: int
    attacked: bool
    kind: str
    encoder: str
    asr: float
    alike: float
    alone: Mapping[str, float]
    reference: Mapping[str, float]
    seconds: float


def scan_all(population: Path, assets: Path, images: Path, effort: Effort, backwards: bool) -> None:
    """Scans every encoder that has no scores yet."""
    compute = devices.choose("cpu", "auto", 1)
    pixels = open_labelled(images, 32).pixels
    parts, _ = divided(to_float(pixels.gather(torch.arange(MOST))), str(images))
    public = {
        depth: load_checkpoint(assets / f"resnet{depth}-cifar10.th", f"cifar_resnet{depth}").encoder
        for depth in set(_REFERENCES.values())
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
            encoder, parts, compute, 0, effort, reference=public[_REFERENCES[depth]]
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


def stored(population: Path, effort: Effort) -> list[Scanned]:
    """The scores of all encoders scanned so far whose attack works."""
    found = []
    for file in sorted((population / "scans").glob(f"*-{effort}.json")):
        content = json.loads(file.read_text())
        del content["openings"]
        found.append(Scanned(**content))
    return [each for each in found if not each.attacked or each.asr >= _SUCCESS]


def total(encoder: Scanned, which: str) -> float:
    """The score of an encoder: its strongest family, `alone` or beyond the `reference`."""
    scores: Mapping[str, float] = getattr(encoder, which)
    return max(scores.values())


def fitted(encoders: Sequence[Scanned], which: str) -> Scale:
    """The limits for the scores of these encoders."""
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
    return Scale(round(suspect_from, 3), round(below, 3), {})


@dataclass(frozen=True)
class Left:
    """The score of an encoder, and its verdict by the limits of the others."""

    encoder: Scanned
    total: float
    verdict: str


def leave_one_kind_out(encoders: Sequence[Scanned], which: str) -> list[Left]:
    """Each encoder by limits without its trigger kind; benign ones go with their pair."""
    judged = []
    for number in range(len(KINDS)):
        out = [each for each in encoders if each.pair % len(KINDS) == number]
        scale = fitted([each for each in encoders if each not in out], which)
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


def calibrated(encoders: Sequence[Scanned]) -> dict[str, Any]:
    """Both scales of one effort, as in calibration.json."""
    scales = {}
    for which in ("alone", "reference"):
        scale = fitted(encoders, which)
        facts = separation(leave_one_kind_out(encoders, which))
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


def write_rows(file: Path, population: Path, effort: Effort) -> None:
    """Every encoder with its facts and scores, also those whose attack does not work, as CSV."""
    scores = sorted((population / "scans").glob(f"*-{effort}.json"))
    found = [json.loads(score.read_text()) for score in scores]
    families = list(found[0]["alone"])
    with file.open("w", encoding="utf-8", newline="") as out:
        rows = csv.writer(out, lineterminator="\n")
        rows.writerow(["name", "network", "change", "target", "acc", "asr", *families, "beyond"])
        for each in found:
            facts = json.loads((population / f"{each['name']}.json").read_text())
            change = facts["trigger"] or f"{facts['kind']}, rate {facts['rate']}"
            target = facts["target"] if facts["attacked"] else ""
            row = [each["name"], each["encoder"], change, target, facts["acc"], facts.get("asr")]
            strengths = (each["alone"][family] for family in families)
            beyond = max(each["reference"].values())
            rows.writerow([*row, *(f"{value:.3f}" for value in (*strengths, beyond))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--population", type=Path, required=True)
    parser.add_argument("--scan", action="store_true", help="first scan what has no scores yet")
    parser.add_argument("--assets", type=Path, help="folder of public weights")
    parser.add_argument("--images", type=Path, help="a shard of clean images")
    parser.add_argument("--effort", choices=["quick", "full"], default="full")
    parser.add_argument("--backwards", action="store_true", help="scan the last pair first")
    parser.add_argument("--rows", type=Path, help="CSV file of all encoders to write")
    parser.add_argument("--write", type=Path, help="calibration.json to create or to update")
    given = parser.parse_args()
    if given.scan:
        scan_all(given.population, given.assets, given.images, given.effort, given.backwards)
    encoders = stored(given.population, given.effort)
    for which in ("alone", "reference"):
        judged = leave_one_kind_out(encoders, which)
        print(f"\n{which}: {json.dumps(separation(judged))}\n\n{table(judged)}")
    if given.rows:
        write_rows(given.rows, given.population, given.effort)
    if given.write:
        content = json.loads(given.write.read_text()) if given.write.exists() else {"efforts": {}}
        content["architectures"] = sorted({each.encoder for each in encoders})
        alike = [each.alike for each in encoders if not each.attacked]
        content["alike"] = [round(min(alike), 3), round(max(alike), 3)]
        content["population"] = {
            "attacked": sum(each.attacked for each in encoders),
            "benign": sum(not each.attacked for each in encoders),
            "triggers": sorted({each.kind for each in encoders if each.attacked}),
            "fine-tuning": sorted({each.kind for each in encoders if not each.attacked}),
            "made by": "benchmarks/scan_population.py --seed 0",
            "images": "CIFAR-10, JPEG",
        }
        content["efforts"][given.effort] = calibrated(encoders)
        given.write.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
