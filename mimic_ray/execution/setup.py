"""What a run is made of before its first step: networks, decoded images, the profile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mimic_ray.base import seeds
from mimic_ray.base.devices import Compute
from mimic_ray.base.progress import Progress, ProgressCallback
from mimic_ray.data.decoded_images import IdentifiedImages
from mimic_ray.data.views import centre, to_float
from mimic_ray.encoders import encoder_registry
from mimic_ray.encoders.encoder import Encoder, Spec
from mimic_ray.method.mi_profile import Profile, profile
from mimic_ray.method.recipe import Recipe
from mimic_ray.method.student import renew
from mimic_ray.method.teacher_cache import (
    TeacherCache,
    fill_teacher_cache,
    teacher_cache_bytes,
)

# Above this size the teacher runs in each step instead.
_TEACHER_CACHE_LIMIT_BYTES = 2 << 30


@dataclass(frozen=True)
class Given:
    """What several runs share, made once: a search hands it to its trials.

    A run ignores a teacher cache whose key is not that of its own recipe.
    """

    images: IdentifiedImages
    profile: Profile
    teacher_cache: TeacherCache | None = None


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
    images: IdentifiedImages,
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


def teacher_cache_pays(spec: Spec, images: int, recipe: Recipe, taps: int, runs: int = 1) -> bool:
    """Not without fixed views, nor if all `runs` have fewer steps than it takes to see each once,
    nor if it were too large to keep."""
    views, training = recipe.views, recipe.training
    forwards = views.fixed * images
    # A tap has a position for every 4 x 4 pixels at most, in half precision.
    positions = taps * (spec.input_size // 4) ** 2
    size = teacher_cache_bytes(recipe, images, spec.feature_width, positions)
    return (
        views.fixed > 0
        and views.asymmetric
        and forwards < runs * training.steps * training.batch
        and size <= _TEACHER_CACHE_LIMIT_BYTES
    )


def cache_teacher(
    teacher: Encoder,
    images: IdentifiedImages,
    recipe: Recipe,
    taps: list[str],
    compute: Compute,
    key: str,
    on_progress: ProgressCallback,
    runs: int = 1,
) -> TeacherCache | None:
    """The teacher's outputs for the fixed views, or None where a cache would not save time."""
    if not teacher_cache_pays(teacher.spec, len(images), recipe, len(taps), runs):
        return None
    return fill_teacher_cache(
        teacher,
        images,
        recipe,
        taps,
        compute,
        key,
        lambda done, total: on_progress(Progress("teacher", done, total)),
    )
