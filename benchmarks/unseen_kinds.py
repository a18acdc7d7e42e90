"""What a recipe leaves of a trigger, with and without the family that imitates it.

Takes attacked encoders of benchmarks/scan_population.py, purifies each, and judges it by the head
in the public file: accuracy and ASR in percent

    purified            at the end
    after_plain_steps   after 60 steps of plain distillation from the suspect encoder
    after_fine_tuning   after a user's training on 10 labelled clean images a class
    never_attacked      the public encoder itself: its rate under the trigger is the floor

No choice of a recipe may rest on the ASR printed here.

    python -m benchmarks.unseen_kinds --population population/ --data cifar10/ --assets assets/ \\
        --name 000-attacked --name 004-attacked --steps 300
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from benchmarks.scan_population import Member, ShadowImages, classifier, judged, public_head
from mimic_ray.base import devices
from mimic_ray.base.devices import Compute
from mimic_ray.base.progress import ignore_progress
from mimic_ray.data.decoded_set import open_pixels
from mimic_ray.data.image_source import open_images
from mimic_ray.data.image_subset import ImageSubset
from mimic_ray.evaluation.revival import distilled_again, fine_tuned
from mimic_ray.execution.setup import search_openings
from mimic_ray.method.loop import Distillation
from mimic_ray.method.student_start import first_student
from mimic_ray.store.recipe_file import load_recipe
from mimic_ray.weight_files.load import load_checkpoint

# Shards that the population was not made of, and the labelled one for the user's training.
_CLEAN, _TEST, _LABELLED, _IMAGES = (
    "train-00{18..19}.tar.gz",
    "test-0001.tar.gz",
    "train-0000.tar.gz",
    2000,
)
_FAMILIES = {
    "patch": "patch",
    "noise_patch": "patch",
    "blend": "blend",
    "dct": "frequency",
    "sine": "frequency",
}


def purified(facts: dict[str, Any], asked: argparse.Namespace, compute: Compute) -> dict[str, Any]:
    """(ACC, ASR) of each stage; CPU seconds of the purification."""
    names = Member.__dataclass_fields__
    member = Member(**{name: value for name, value in facts.items() if name in names})
    suspect = load_checkpoint(asked.population / f"{member.name}.safetensors", member.encoder)
    public = load_checkpoint(asked.assets / member.start, member.encoder).encoder
    head = classifier(public_head(asked.assets / member.start))
    test = ShadowImages.opened(asked.data / _TEST)
    source = open_images(f"{asked.data}/{_CLEAN}")
    images = open_pixels(ImageSubset(source, range(_IMAGES)), 32)
    settings = [f"training.steps={asked.steps}", f"training.seed={asked.seed}"]
    if not asked.all_families:
        settings.append(f"perturbations.{_FAMILIES[member.kind]}.probability=0")
    recipe = load_recipe(asked.recipe, [*settings, *(asked.set or [])])
    start = time.process_time()
    student = first_student(member.encoder, suspect.encoder.net.state_dict(), recipe)
    openings = search_openings(suspect.encoder, images, recipe, compute, ignore_progress)
    run = Distillation(student, suspect.encoder, images, recipe, {}, compute, openings=openings)
    for _ in run.run():
        pass
    seconds = time.process_time() - start
    again = distilled_again(student, suspect.encoder, images, compute, asked.seed)
    few = ShadowImages.opened(asked.data / _LABELLED)
    tuned = fine_tuned(student, few, few.labels, 10, compute, asked.seed)
    stages: dict[str, tuple[Any, Callable[[Tensor], Tensor]]] = {
        "never_attacked": (public, head),
        "attacked": (suspect.encoder, head),
        "purified": (student, head),
        "after_plain_steps": (again, head),
        "after_fine_tuning": (tuned.encoder, tuned.head),
    }
    return {
        "name": member.name,
        "trigger": member.trigger,
        "all_families": asked.all_families,
        "steps": asked.steps,
        "seed": asked.seed,
        "cpu_s": round(seconds),
        **{stage: judged(member, *pair, test, compute) for stage, pair in stages.items()},
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--population", type=Path, required=True)
    options.add_argument("--data", type=Path, required=True, help="CIFAR-10 shards")
    options.add_argument("--assets", type=Path, required=True, help="the public CIFAR ResNets")
    options.add_argument("--name", action="append", required=True, help="as in 000-attacked")
    options.add_argument("--recipe", default="default")
    options.add_argument("--steps", type=int, default=600)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--all-families", action="store_true", help="the trigger's own one too")
    options.add_argument("--set", action="append", help="a change to the recipe, KEY=VALUE")
    asked = options.parse_args()
    compute = devices.choose("cpu", "auto", 1)
    for name in asked.name:
        facts = json.loads((asked.population / f"{name}.json").read_text())
        print(json.dumps(purified(facts, asked, compute)), flush=True)


if __name__ == "__main__":
    main()
