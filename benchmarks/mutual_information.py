"""The effect of mutual information: one attacked encoder, its layers weighted in several ways.

    base        student          weights of the layers (attention) or of the values in them (medic)
    default     the suspect      none, uniform, mi_teacher, mi_student, gradient
    official    random weights   the same
    medic       random weights   uniform, gradient: MEDIC's importance of each value

`none` has no attention term. The shares of the others sum to one, and a share s becomes the weight
floor + scale * s of the base's recipe, so that only the distribution over layers differs.
mi_teacher and mi_student take the mutual information of the suspect encoder and of the untrained
student, by the Gaussian estimator. gradient takes the sum over a layer's values of
|a * dL/da| at the suspect encoder, L = 1 - cos of the features of two views: the change of L to
first order were a value removed (Molchanov et al., arXiv 1611.06440), in place of MEDIC's softmax,
which compares values of one layer only.

Takes encoders of benchmarks/scan_population.py. Rows go to a JSON-lines file, seed by seed, each
seed with all variants; a run continues where an earlier one stopped. --report prints the tables.

    python -m benchmarks.mutual_information --population population/ --data cifar10/ \\
        --assets assets/ --name 000-attacked --steps 200 --out mi.jsonl
    python -m benchmarks.mutual_information --report mi.jsonl
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.scan_population import Member, ShadowImages, public_head
from mimic_ray.attacks.triggers.trigger import make_trigger
from mimic_ray.base import devices
from mimic_ray.base.devices import Compute
from mimic_ray.data.decoded_set import open_pixels
from mimic_ray.data.image_source import open_images
from mimic_ray.data.image_subset import ImageSubset
from mimic_ray.data.views import centre, flip_and_shift, to_float
from mimic_ray.defences.defence_registry import DefenceInputs
from mimic_ray.defences.medic import medic
from mimic_ray.defences.recipe_distillation import distil_by_recipe, recipe_with, tap_weights
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.evaluation.heads import LINEAR
from mimic_ray.evaluation.outcomes import LabelledTest, Outcomes, acc_over, asr_over
from mimic_ray.evaluation.revival import distilled_again
from mimic_ray.method.losses.clone import clone_loss
from mimic_ray.method.mi_profile import select
from mimic_ray.method.recipe import Recipe
from mimic_ray.weight_files.load import load_checkpoint

# The shards that the population was not made of.
_CLEAN, _HEAD, _TEST = "train-00{18..19}.tar.gz", "train-0017.tar.gz", "test-0001.tar.gz"
_IMAGES, _SIDE, _BATCH, _CLASSES, _HEAD_SEEDS = 2000, 32, 64, 10, 3
WEIGHTS = ("none", "uniform", "mi_teacher", "mi_student", "gradient")
VARIANTS = (
    *(("default", each) for each in WEIGHTS),
    *(("official", each) for each in WEIGHTS),
    ("medic", "uniform"),
    ("medic", "gradient"),
)
# Heads and moments of an outcome, as columns of the table.
_COLUMNS = {
    "public": "public head",
    "new": "new linear heads",
    "public_again": "public head, after 60 plain steps",
}


@dataclass(frozen=True)
class Judge:
    """The public head and new ones on images that neither attack nor purification saw."""

    images: LabelledTest
    head: torch.nn.Linear
    compute: Compute

    def public(self, encoder: Encoder) -> Outcomes:
        predicted = [lambda features: self.head(features).argmax(dim=1)]
        return self.images.with_heads(encoder, predicted, self.compute, unit=False)

    def new(self, encoder: Encoder) -> Outcomes:
        return self.images.with_new_heads(encoder, LINEAR, _HEAD_SEEDS, self.compute)


def recipe_of(base: str, weights: str, steps: int, seed: int) -> Recipe:
    """The recipe of a variant. Its loss has no attention term for "none"."""
    changes: dict[str, Any] = {
        "training.steps": steps,
        "training.batch": _BATCH,
        "training.seed": seed,
        "loss.attention.weight": float(weights != "none"),
    }
    # Donsker-Varadhan, the estimator of `official`, takes longer than the training.
    estimator = "uniform" if weights == "uniform" else "gaussian"
    changes["mutual_information.estimator"] = estimator
    if weights in ("mi_teacher", "mi_student"):
        changes["mutual_information.of"] = weights.removeprefix("mi_")
    return recipe_with(base, changes)


def gradient_sums(inputs: DefenceInputs, images: int = 512) -> list[float]:
    """For each tap, the sum over images and values of |a * dL/da|; see the module."""
    encoder = inputs.suspect.eval()
    taps, side = list(encoder.spec.taps), encoder.spec.input_size
    total = torch.zeros(len(taps), dtype=torch.float64)
    for chosen in torch.arange(min(images, len(inputs.images))).split(_BATCH):
        pixels = to_float(inputs.images.gather(chosen))
        other = encoder(flip_and_shift(pixels, chosen, side=side)).detach()
        feature, maps = encoder(centre(pixels, side).requires_grad_(), taps=taps)
        # The mean over the batch is undone.
        gradients = torch.autograd.grad(len(chosen) * clone_loss(feature, other), maps)
        for number, (a, q) in enumerate(zip(maps, gradients, strict=True)):
            total[number] += (a * q).detach().abs().sum()
    return total.tolist()


def purified(
    base: str, weights: str, inputs: DefenceInputs, steps: int
) -> tuple[Encoder, dict[str, float]]:
    """The purified encoder of a variant and the weight of each tap, in the suspect's order."""
    if base == "medic":
        made = medic(inputs, importance=weights == "gradient", steps=steps, batch=_BATCH)
        return made.encoder, {}
    recipe = recipe_of(base, weights, steps, inputs.seed)
    found: dict[str, float] = {}
    if weights == "gradient":
        chosen = select(gradient_sums(inputs), recipe.mutual_information)
        found = {t: w for t, (_, _, w) in zip(inputs.suspect.spec.taps, chosen, strict=True)}
    elif weights != "none":
        found = tap_weights(inputs, recipe, inputs.compute)
    return distil_by_recipe(inputs, recipe, found).encoder, found


def rows(asked: argparse.Namespace, done: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """One row for each variant that is not in `done`: all variants of a seed, then the next."""
    compute = devices.choose("cpu", "auto", 1)
    source = open_images(f"{asked.data}/{_CLEAN}")
    images = open_pixels(ImageSubset(source, range(_IMAGES)), _SIDE)
    known = {(row["name"], row["seed"], row["base"], row["weights"]) for row in done}
    for name in asked.name:
        member = _member(asked.population / f"{name}.json")
        suspect = load_checkpoint(asked.population / f"{name}.safetensors", member.encoder).encoder
        judge = _judge(member, asked, compute)
        inputs = DefenceInputs(
            suspect.eval().requires_grad_(False), member.encoder, images, compute, 0
        )
        if (name, 0, "attacked", "") not in known:
            outcomes = {"public": judge.public(suspect), "new": judge.new(suspect)}
            yield _row(member, 0, "attacked", "", asked.steps, outcomes)
        for seed in range(asked.seeds):
            for base, weights in VARIANTS:
                wanted = base in asked.base and weights in asked.weights
                if not wanted or (name, seed, base, weights) in known:
                    continue
                start = time.process_time()
                student, used = purified(base, weights, replace(inputs, seed=seed), asked.steps)
                seconds = round(time.process_time() - start)
                again = distilled_again(student, suspect, images, compute, seed)
                outcomes = {
                    "public": judge.public(student),
                    "new": judge.new(student),
                    "public_again": judge.public(again),
                }
                row = _row(member, seed, base, weights, asked.steps, outcomes)
                yield {**row, "cpu_s": seconds, "tap_weights": used}


def _member(file: Path) -> Member:
    facts = json.loads(file.read_text())
    return Member(**{name: facts[name] for name in Member.__dataclass_fields__})


def _judge(member: Member, asked: argparse.Namespace, compute: Compute) -> Judge:
    train, test = (ShadowImages.opened(asked.data / each) for each in (_HEAD, _TEST))
    trigger = make_trigger(member.trigger, _SIDE).apply
    test_images = LabelledTest(
        train, train.labels, test, test.labels, _CLASSES, trigger, member.target
    )
    return Judge(test_images, public_head(asked.assets / member.start), compute)


def _row(
    member: Member, seed: int, base: str, weights: str, steps: int, outcomes: dict[str, Outcomes]
) -> dict[str, Any]:
    return {
        "name": member.name,
        "trigger": member.trigger,
        "steps": steps,
        "seed": seed,
        "base": base,
        "weights": weights,
        "outcomes": {kind: _packed(each) for kind, each in outcomes.items()},
    }


def _packed(outcomes: Outcomes) -> dict[str, Any]:
    found = {"correct": outcomes.correct, "hits": outcomes.hits}
    return {
        name: {"images": bits.shape[1], "hex": [np.packbits(head).tobytes().hex() for head in bits]}
        for name, bits in found.items()
        if bits is not None
    }


def unpacked(content: dict[str, Any]) -> Outcomes:
    """Outcomes of a row, with one entry for each head and image."""

    def bits(name: str) -> Any:
        packed = [np.frombuffer(bytes.fromhex(each), np.uint8) for each in content[name]["hex"]]
        return np.stack([np.unpackbits(each)[: content[name]["images"]] for each in packed])

    return Outcomes(bits("correct"), bits("hits"))


def report(found: Sequence[dict[str, Any]]) -> str:
    """A Markdown table for each encoder, over the seeds that all variants have."""
    tables = []
    for name in dict.fromkeys(row["name"] for row in found):
        own = [row for row in found if row["name"] == name]
        lines = [f"### {name}: `{own[0]['trigger']}`, {own[0]['steps']} steps", ""]
        lines += [f"| base, weights | seeds | {' | '.join(_COLUMNS.values())} | CPU s |"]
        lines += ["|" + "---|" * (len(_COLUMNS) + 3)]
        for base, weights in [("attacked", ""), *VARIANTS]:
            mine = [row for row in own if (row["base"], row["weights"]) == (base, weights)]
            if mine:
                lines.append(_line(f"{base} {weights}".strip(), mine))
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def _line(label: str, mine: Sequence[dict[str, Any]]) -> str:
    cells = []
    for kind in _COLUMNS:
        each = [unpacked(row["outcomes"][kind]) for row in mine if kind in row["outcomes"]]
        pair = (acc_over(each), asr_over(each)) if each else ()
        cells.append(" / ".join(_shown(share) for share in pair if share) or "-")
    seconds = [row["cpu_s"] for row in mine if "cpu_s" in row]
    mean = f"{sum(seconds) / len(seconds):.0f}" if seconds else "-"
    return f"| {label} | {len(mine)} | {' | '.join(cells)} | {mean} |"


def _shown(share: Any) -> str:
    return f"{100 * share.share:.1f} ({100 * share.low:.1f}-{100 * share.high:.1f})"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--report", type=Path, help="print the tables of this file, run nothing")
    options.add_argument("--population", type=Path)
    options.add_argument("--data", type=Path, help="CIFAR-10 shards")
    options.add_argument("--assets", type=Path, help="the public CIFAR ResNets")
    options.add_argument("--name", action="append", help="as in 000-attacked")
    options.add_argument("--steps", type=int, default=200)
    options.add_argument("--seeds", type=int, default=3)
    bases = list(dict.fromkeys(base for base, _ in VARIANTS))
    options.add_argument("--base", nargs="+", choices=bases, default=bases)
    options.add_argument("--weights", nargs="+", choices=WEIGHTS, default=WEIGHTS)
    options.add_argument("--out", type=Path)
    asked = options.parse_args()
    if asked.report:
        print(report(_read(asked.report)))
        return
    for needed in ("population", "data", "assets", "name", "out"):
        if getattr(asked, needed) is None:
            options.error(f"--{needed} is missing")
    with asked.out.open("a", encoding="utf-8") as out:
        for row in rows(asked, _read(asked.out)):
            out.write(json.dumps(row) + "\n")
            out.flush()
            print(_line(f"{row['name']} seed {row['seed']} {row['base']} {row['weights']}", [row]))


def _read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    main()
