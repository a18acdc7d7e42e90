"""One worker's part of a run: everything between a validated job and the last committed step.

The same function runs in process (`--local`) and inside a Ray Train worker; it knows neither.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mimic_ray.base import devices, seeds
from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import TrainingError
from mimic_ray.data.cache import Pixels, open_pixels
from mimic_ray.data.source import open_images
from mimic_ray.data.views import centre, to_float
from mimic_ray.encoders import registry
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.method.loop import Distillation
from mimic_ray.method.profile import Profile, profile
from mimic_ray.method.ranks import Ranks
from mimic_ray.method.recipe import Recipe, parse_recipe
from mimic_ray.method.student import renew
from mimic_ray.runs.commit import commit, latest
from mimic_ray.runs.folder import RunFolder
from mimic_ray.runs.metrics import MetricsLog
from mimic_ray.runs.progress import Progress

_TELL_EVERY_S = 0.25
# Several workers must agree when to stop, which costs a collective.
_ASK_EVERY_STEPS = 8


@dataclass(frozen=True)
class Job:
    """What a worker needs to know; plain values, so that it travels."""

    run: str
    encoder: str
    data: str
    recipe: Mapping[str, Any]
    device: str = "auto"
    threads: int = 0
    commit_every: int = 100
    memory_limit_bytes: int = 4 << 30


@dataclass(frozen=True)
class Outcome:
    """How a worker ended. Weights and metrics are on disk."""

    finished: bool
    step: int
    images: int
    broken: list[tuple[str, str]]
    fingerprint: str
    seconds: float
    images_per_s: float
    compute: Mapping[str, Any]
    profile: Mapping[str, Any]


def train(
    job: Job,
    teacher_state: Mapping[str, Tensor],
    *,
    ranks: Ranks | None = None,
    wrap: Callable[[nn.Module], nn.Module] = lambda module: module,
    tell: Callable[[Progress], None] = lambda progress: None,
    stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Distils from the last committed step on, until the end or until `stop()`."""
    ranks = ranks or Ranks()
    recipe = parse_recipe(job.recipe)
    compute = devices.choose(job.device, recipe.training.precision, job.threads)
    folder = RunFolder.open(Path(job.run))
    teacher = _teacher(job, teacher_state)
    side = teacher.spec.input_size
    images = _decoded(job, cached_side(recipe, side), ranks, tell)
    committed = latest(folder)
    start = time.monotonic()

    if committed:
        found = Profile.from_json(committed.state["profile"])
    else:
        found = ranks.from_first(
            profile_images(job.encoder, teacher, images, recipe, compute, tell)
            if ranks.rank == 0
            else None
        )
    distillation = Distillation(
        student=_student(job, teacher_state, recipe),
        teacher=teacher,
        images=images,
        recipe=recipe,
        tap_weights=found.weights(),
        compute=compute,
        ranks=ranks,
        wrap=wrap,
    )
    if committed:
        distillation.load(committed.state["distillation"])
    first_step = distillation.step
    metrics = MetricsLog(folder, first_step) if ranks.rank == 0 else None
    pace = _Pace(recipe.training.batch)

    def save() -> None:
        if metrics:
            metrics.flush()
            state = {"distillation": distillation.state(), "profile": found.to_json()}
            commit(folder, distillation.step, state)

    finished = distillation.step >= recipe.training.steps
    with metrics or nullcontext():
        for row in distillation.run():
            step = distillation.step
            images_per_s = pace.tick()
            if metrics:
                metrics.append({**row, "images_per_s": round(images_per_s, 1)})
                if pace.due():
                    tell(Progress("distil", step, recipe.training.steps, row, images_per_s))
            finished = step == recipe.training.steps
            ask = ranks.world == 1 or step % _ASK_EVERY_STEPS == 0
            stopping = ask and not finished and ranks.any(stop())
            if finished or stopping or step % job.commit_every == 0:
                save()
            if stopping:
                break
    seconds = time.monotonic() - start
    done = distillation.step - first_step
    return Outcome(
        finished=finished,
        step=distillation.step,
        images=len(images),
        broken=list(images.broken),
        fingerprint=images.fingerprint,
        seconds=seconds,
        images_per_s=done * recipe.training.batch / max(seconds, 1e-9),
        compute=compute.facts(),
        profile=found.to_json(),
    )


class _Pace:
    """Images a second over all workers, smoothed, and when to tell about it."""

    def __init__(self, global_batch: int) -> None:
        self._batch = global_batch
        self._last = time.monotonic()
        self._told = 0.0
        self._step_s = 0.0

    def tick(self) -> float:
        now = time.monotonic()
        step_s, self._last = now - self._last, now
        # Over about 20 steps: one slow step should not move the time left.
        self._step_s = step_s if self._step_s == 0 else 0.95 * self._step_s + 0.05 * step_s
        return self._batch / max(self._step_s, 1e-9)

    def due(self) -> bool:
        if self._last - self._told < _TELL_EVERY_S:
            return False
        self._told = self._last
        return True


def _decoded(job: Job, side: int, ranks: Ranks, tell: Callable[[Progress], None]) -> Pixels:
    """The decoded images. With several workers, one a node decodes and the others map its file."""

    def progress(done: int, total: int) -> None:
        if ranks.rank == 0:
            tell(Progress("decode", done, total))

    limit = job.memory_limit_bytes if ranks.world == 1 else 0
    opened: Pixels | None = None
    for turn in (True, False):
        if (ranks.local_rank == 0) == turn:
            opened = open_pixels(
                open_images(job.data), side, memory_limit_bytes=limit, progress=progress
            )
        ranks.wait()
    if opened is None:
        raise TrainingError("This worker opened no images.")
    return opened


def cached_side(recipe: Recipe, input_size: int) -> int:
    """Side in pixels at which images are kept: larger than the input where views crop."""
    if recipe.views.kind == "simclr" and input_size >= 64:
        return round(input_size * 256 / 224)
    return input_size


def _teacher(job: Job, state: Mapping[str, Tensor]) -> Encoder:
    encoder = registry.build(job.encoder)
    encoder.net.load_state_dict(dict(state))
    return encoder


def _untrained(name: str, seed: int) -> Encoder:
    """The architecture with random weights that depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(seeds.keys(seed, "student")))
        return registry.build(name)


def _student(job: Job, teacher_state: Mapping[str, Tensor], recipe: Recipe) -> Encoder:
    if recipe.student.start == "random":
        return _untrained(job.encoder, recipe.training.seed)
    student = _teacher(job, teacher_state)
    if recipe.student.start == "partial":
        fresh = _untrained(job.encoder, recipe.training.seed)
        renew(student, fresh, recipe.student.renewed, recipe.training.seed)
    return student


def profile_images(
    name: str,
    encoder: Encoder,
    images: Pixels,
    recipe: Recipe,
    compute: Compute,
    tell: Callable[[Progress], None],
) -> Profile:
    """The profile of `encoder`, whose name is `name`, on the first images as their centres show."""
    settings, seed = recipe.mutual_information, recipe.training.seed
    chosen = torch.arange(min(settings.images, len(images)))
    tell(Progress("profile", 0, 1))
    batches = [
        centre(to_float(images.gather(rows)), encoder.spec.input_size) for rows in chosen.split(128)
    ]
    found = profile(encoder, _untrained(name, seed), batches, settings, compute, seed)
    tell(Progress("profile", 1, 1))
    return found
