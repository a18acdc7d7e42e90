"""The scores of a scanned population: read from its folder, and as a CSV file."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mimic_ray.base.effort import Effort
from mimic_ray.scanning.openings import FAMILIES

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


def stored(population: Path, effort: Effort) -> list[Scanned]:
    """The scores of all encoders scanned so far whose attack works."""
    found = []
    for file in sorted((population / "scans").glob(f"*-{effort}.json")):
        content = json.loads(file.read_text())
        del content["openings"]
        found.append(Scanned(**content))
    return [each for each in found if not each.attacked or each.asr >= _SUCCESS]


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


def read_rows(file: Path) -> list[Scanned]:
    """The encoders of `write_rows` whose attack works."""
    found = []
    with file.open(encoding="utf-8", newline="") as content:
        for row in csv.DictReader(content):
            attacked = row["name"].endswith("-attacked")
            kind = row["change"].partition(":" if attacked else ",")[0]
            pair, asr = int(row["name"].partition("-")[0]), float(row["asr"] or 0)
            alone = {family: float(row[family]) for family in FAMILIES}
            beyond = {"strongest": float(row["beyond"])}
            encoder = row["network"]
            found.append(
                Scanned(row["name"], pair, attacked, kind, encoder, asr, 0.0, alone, beyond, 0.0)
            )
    return [each for each in found if not each.attacked or each.asr >= _SUCCESS]
