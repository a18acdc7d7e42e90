"""What a run is made of before its first step: networks, decoded images, the profile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from mimic_ray.base import seeds
from mimic_ray.base.devices import Compute
from mimic_ray.base.progress import Progress, ProgressCallback
from mimic_ray.data.views import centre, to_float
from mimic_ray.encoders import encoder_registry
from mimic_ray.encoders.encoder import Encoder, Spec
from mimic_ray.method.mi_profile import Profile, profile
from mimic_ray.method.recipe import Recipe
from mimic_ray.method.student import renew
from mimic_ray.method.teacher import Recording, record

# A recording of fixed views beyond this is not kept: the teacher is asked each step instead.
_RECORDING_LIMIT_BYTES = 2 << 30


class Decoded(Protocol):
    """Decoded images and what is known of them: `data.cache.Pixels`, or a part of one."""

    @property
    def fingerprint(self) -> str: ...
    @property
    def broken(self) -> list[tuple[str, str]]: ...
    def __len__(self) -> int: ...
    def gather(self, indices: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Given:
    """What several runs share, made once: a search hands it to its trials.

    A recording that belongs to other views than a run's recipe wants is left unused.
    """

    images: Decoded
    profile: Profile
    recording: Recording | None = None


def cached_side(recipe: Recipe, input_size: int) -> int:
    """Side in pixels at which images are kept: larger than the input where views crop."""
    if recipe.views.kind == "simclr" and input_size >= 64:
        return round(input_size * 256 / 224)
    return input_size


def with_weights(name: str, state: Mapping[str, Tensor]) -> Encoder:
    """The architecture called `name` with these weights."""
    encoder = encoder_registry.build(name)
    encoder.net.load_state_dict(dict(state))
    return encoder


def untrained(name: str, seed: int) -> Encoder:
    """The architecture with random weights that depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(seeds.keys(seed, "student")))
        return encoder_registry.build(name)


def first_student(name: str, teacher_state: Mapping[str, Tensor], recipe: Recipe) -> Encoder:
    """The student before its first step."""
    if recipe.student.start == "random":
        return untrained(name, recipe.training.seed)
    student = with_weights(name, teacher_state)
    if recipe.student.start == "partial":
        fresh = untrained(name, recipe.training.seed)
        renew(student, fresh, recipe.student.renewed, recipe.training.seed)
    return student


def profile_images(
    name: str,
    encoder: Encoder,
    images: Decoded,
    recipe: Recipe,
    compute: Compute,
    on_progress: ProgressCallback,
) -> Profile:
    """The profile of `encoder`, whose name is `name`, on the first images as their centres show."""
    settings, seed = recipe.mutual_information, recipe.training.seed
    chosen = torch.arange(min(settings.images, len(images)))
    on_progress(Progress("profile", 0, 1))
    batches = [
        centre(to_float(images.gather(rows)), encoder.spec.input_size) for rows in chosen.split(128)
    ]
    found = profile(encoder, untrained(name, seed), batches, settings, compute, seed)
    on_progress(Progress("profile", 1, 1))
    return found


def recording_repays(spec: Spec, images: int, recipe: Recipe, taps: int, runs: int = 1) -> bool:
    """Not without fixed views, nor if all `runs` have fewer steps than it takes to see each once,
    nor if it were too large to keep."""
    views, training = recipe.views, recipe.training
    forwards = views.fixed * images
    # A tap has a position for every 4 x 4 pixels at most, in half precision.
    size = forwards * (4 * spec.feature_width + 2 * taps * (spec.input_size // 4) ** 2)
    return (
        views.fixed > 0
        and views.asymmetric
        and forwards < runs * training.steps * training.batch
        and size <= _RECORDING_LIMIT_BYTES
    )


def record_teacher(
    teacher: Encoder,
    images: Decoded,
    recipe: Recipe,
    taps: list[str],
    compute: Compute,
    key: str,
    on_progress: ProgressCallback,
    runs: int = 1,
) -> Recording | None:
    """The teacher's answers to the fixed views, or None where asking it anew costs less."""
    if not recording_repays(teacher.spec, len(images), recipe, len(taps), runs):
        return None
    return record(
        teacher,
        images,
        recipe,
        taps,
        compute,
        key,
        lambda done, total: on_progress(Progress("record", done, total)),
    )
