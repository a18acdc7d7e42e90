"""The parts of a training run before its first step: networks, profile, cached teacher outputs."""

from __future__ import annotations

from dataclasses import dataclass

from mimic_ray.base.devices import Compute
from mimic_ray.base.progress import Progress, ProgressCallback
from mimic_ray.data.decoded_images import IdentifiedImages
from mimic_ray.encoders.encoder import Encoder, Spec
from mimic_ray.method.collectives import ProcessGroup
from mimic_ray.method.found_changes import FoundChanges
from mimic_ray.method.mi_profile import Profile, profile, profiled_batches
from mimic_ray.method.recipe import Recipe
from mimic_ray.method.strategy import Replicated, SingleWorker, Strategy
from mimic_ray.method.student_start import untrained
from mimic_ray.method.teacher_cache import (
    TeacherCache,
    fill_teacher_cache,
    teacher_cache_bytes,
)
from mimic_ray.scanning.training_changes import training_changes

# Above this size the teacher runs in every step instead.
_TEACHER_CACHE_LIMIT_BYTES = 2 << 30


@dataclass(frozen=True)
class Precomputed:
    """What the trials of a search share."""

    images: IdentifiedImages
    profile: Profile
    teacher_cache: TeacherCache | None = None
    openings: FoundChanges | None = None
    openings_searched: bool = True  # False: the worker searches with its own recipe

    def usable_teacher_cache(self, key: str, taps: list[str]) -> TeacherCache | None:
        """The cache if it was made with the views of this recipe (`key`) and has these taps."""
        cache = self.teacher_cache
        return cache if cache and cache.key == key and {*taps} <= {*cache.attention} else None


def cached_side(recipe: Recipe, input_size: int) -> int:
    """Side in pixels of decoded images: larger than the input if views crop them."""
    if recipe.views.kind == "simclr" and input_size >= 64:
        return round(input_size * 256 / 224)
    return input_size


def profile_images(
    name: str,
    encoder: Encoder,
    images: IdentifiedImages,
    recipe: Recipe,
    compute: Compute,
    on_progress: ProgressCallback,
) -> Profile:
    """The profile of `encoder`, called `name`, on centre crops of evenly spaced images."""
    number, side = recipe.mutual_information.images, encoder.spec.input_size
    batches = profiled_batches(images, number, side, compute)
    random = untrained(name, recipe.training.seed)
    return profile(
        encoder,
        random,
        batches,
        recipe,
        compute,
        lambda done, total: on_progress(Progress("profile", done, total)),
    )


def search_openings(
    encoder: Encoder,
    images: IdentifiedImages,
    recipe: Recipe,
    compute: Compute,
    on_progress: ProgressCallback,
) -> FoundChanges | None:
    """The suspect encoder's openings for the student; see `training_changes`."""
    return training_changes(
        encoder,
        images,
        recipe.openings,
        compute,
        recipe.training.seed,
        lambda done, total: on_progress(Progress("openings", done, total)),
    )


def make_strategy(name: str, teacher: str, group: ProcessGroup, compute: Compute) -> Strategy:
    """The strategy called `name`, or `SingleWorker` for a single worker."""
    if group.world_size == 1:
        return SingleWorker()
    if name == "ddp":
        return Replicated()
    from mimic_ray.method.sharding import Sharded

    return Sharded(compute.torch_device, teacher=teacher == "sharded")


def teacher_cache_pays(spec: Spec, images: int, recipe: Recipe, taps: int, runs: int = 1) -> bool:
    """Whether cached teacher outputs save time and fit the size limit.

    They need fixed views, and `runs` that together have more steps than filling the cache takes.
    """
    views, training = recipe.views, recipe.training
    forwards = views.fixed * images
    # A tap has at most one position for 4 x 4 pixels, in half precision.
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
    """The teacher's outputs for the fixed views, None if caching them does not pay."""
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
