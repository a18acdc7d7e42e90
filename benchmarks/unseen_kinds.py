"""What the default recipe leaves of a trigger whose own family it does not imitate.

Takes attacked encoders of benchmarks/scan_population.py, purifies each without the family of its
trigger, and judges it by the head in the public file: accuracy and ASR in percent, now and after
60 plain distillation steps. No choice of a recipe may rest on the ASR printed here.

    python -m benchmarks.unseen_kinds --population population/ --data cifar10/ --assets assets/ \\
        --name 000-attacked --name 004-attacked --steps 300
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from benchmarks.scan_population import Member, ShadowImages, judged, public_head
from mimic_ray.base import devices
from mimic_ray.base.devices import Compute
from mimic_ray.data.cache import open_pixels
from mimic_ray.data.image_source import open_images
from mimic_ray.data.image_subset import ImageSubset
from mimic_ray.encoders.load import load_checkpoint
from mimic_ray.evaluation.revival import distilled_again
from mimic_ray.method.loop import Distillation
from mimic_ray.method.student_start import first_student
from mimic_ray.store.recipe_file import load_recipe

# The shards that the population was not made of.
_CLEAN, _TEST, _IMAGES = "train-00{18..19}.tar.gz", "test-0001.tar.gz", 2000
_FAMILIES = {
    "patch": "patch",
    "noise_patch": "patch",
    "blend": "blend",
    "dct": "frequency",
    "sine": "frequency",
}


def purified_without_its_family(
    facts: dict[str, Any], asked: argparse.Namespace, compute: Compute
) -> dict[str, Any]:
    """(ACC, ASR) attacked, purified and after plain steps; CPU seconds of the purification."""
    names = Member.__dataclass_fields__
    member = Member(**{name: value for name, value in facts.items() if name in names})
    suspect = load_checkpoint(asked.population / f"{member.name}.safetensors", member.encoder)
    head = public_head(asked.assets / member.start)
    test = ShadowImages.opened(asked.data / _TEST)
    source = open_images(f"{asked.data}/{_CLEAN}")
    images = open_pixels(ImageSubset(source, range(_IMAGES)), 32)
    family = _FAMILIES[member.kind]
    settings = [f"perturbations.{family}.probability=0", f"training.steps={asked.steps}"]
    recipe = load_recipe("default", [*settings, *(asked.set or [])], 32)
    start = time.process_time()
    student = first_student(member.encoder, suspect.encoder.net.state_dict(), recipe)
    for _ in Distillation(student, suspect.encoder, images, recipe, {}, compute).run():
        pass
    seconds = time.process_time() - start
    again = distilled_again(student, suspect.encoder, images, compute, recipe.training.seed)
    encoders = {"attacked": suspect.encoder, "purified": student, "after_plain_steps": again}
    found = {name: judged(member, each, head, test, compute) for name, each in encoders.items()}
    return {"name": member.name, "trigger": member.trigger, "cpu_s": round(seconds), **found}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--population", type=Path, required=True)
    options.add_argument("--data", type=Path, required=True, help="CIFAR-10 shards")
    options.add_argument("--assets", type=Path, required=True, help="the public CIFAR ResNets")
    options.add_argument("--name", action="append", required=True, help="as in 000-attacked")
    options.add_argument("--steps", type=int, default=600)
    options.add_argument("--set", action="append", help="a change to the recipe, KEY=VALUE")
    asked = options.parse_args()
    compute = devices.choose("cpu", "auto", 1)
    for name in asked.name:
        facts = json.loads((asked.population / f"{name}.json").read_text())
        print(json.dumps(purified_without_its_family(facts, asked, compute)), flush=True)


if __name__ == "__main__":
    main()
