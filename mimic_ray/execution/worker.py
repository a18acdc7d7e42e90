"""One worker's part of a run: everything between a validated job and the last committed step.

The same function runs in process (`--local`) and inside a Ray Train worker; it knows neither.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from mimic_ray.base import devices
from mimic_ray.base.devices import Compute
from mimic_ray.base.progress import Progress, ProgressCallback, ignore_progress
from mimic_ray.data.cache import Pixels, open_pixels
from mimic_ray.data.decoded_images import IdentifiedImages
from mimic_ray.data.image_source import open_images
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.execution.setup import (
    Given,
    cache_teacher,
    cached_side,
    first_student,
    profile_images,
    with_weights,
)
from mimic_ray.method.loop import Distillation, Row
from mimic_ray.method.mi_profile import Profile
from mimic_ray.method.process_group import ProcessGroup
from mimic_ray.method.recipe import Recipe, parse_recipe
from mimic_ray.method.strategy import Alone, Replicated, Strategy
from mimic_ray.method.teacher_cache import TeacherCache, teacher_cache_key
from mimic_ray.store.checkpoint import latest
from mimic_ray.store.metrics_log import MetricsLog
from mimic_ray.store.progress_file import LiveWriter
from mimic_ray.store.run_store import Place, place_of

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
    # How several workers share out the student, and with fsdp the teacher; see base/resources.py.
    strategy: str = "ddp"
    teacher_placement: str = "replicated"
    claimed: str = ""  # what Place.claim gave the driver


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
    workers: int = 1
    notes: list[str] = field(default_factory=list)  # what the user should know of


def train(
    job: Job,
    teacher_state: Mapping[str, Tensor],
    *,
    group: ProcessGroup | None = None,
    on_progress: ProgressCallback = ignore_progress,
    stop: Callable[[], bool] = lambda: False,
    given: Given | None = None,
    watch: Callable[[Distillation], None] = lambda distillation: None,
    before_commit: Callable[[], None] = lambda: None,
) -> Outcome:
    """Distils from the last committed step on, until the end or until `stop()`.

    `given` saves the making of what other runs made already; `watch` is called after each step;
    `before_commit` by the worker that commits, and may raise instead.
    """
    group = group or ProcessGroup()
    place = place_of(job.run, f"worker-{group.rank}")
    try:
        return _train(
            place, job, teacher_state, group, on_progress, stop, given, watch, before_commit
        )
    finally:
        place.leave()


def _train(
    place: Place,
    job: Job,
    teacher_state: Mapping[str, Tensor],
    group: ProcessGroup,
    on_progress: ProgressCallback,
    stop: Callable[[], bool],
    given: Given | None,
    watch: Callable[[Distillation], None],
    before_commit: Callable[[], None],
) -> Outcome:
    recipe = parse_recipe(job.recipe)
    compute = devices.choose(job.device, recipe.training.precision, job.threads)
    folder = place.folder
    live = (
        LiveWriter(place.live, recipe.training.steps, group.world_size) if group.rank == 0 else None
    )

    def hear(news: Progress) -> None:
        if live:
            live.phase(news.phase)
        on_progress(news)

    place.fetch()
    teacher = with_weights(job.encoder, teacher_state)
    side = teacher.spec.input_size
    images = given.images if given else _decoded(job, cached_side(recipe, side), group, hear)
    committed = latest(folder)
    start = time.monotonic()

    if given:
        found = given.profile
    elif committed:
        found = Profile.from_json(committed.state["profile"])
    else:
        found = group.broadcast(
            profile_images(job.encoder, teacher, images, recipe, compute, hear)
            if group.rank == 0
            else None
        )
    distillation = Distillation(
        student=first_student(job.encoder, teacher_state, recipe),
        teacher=teacher,
        images=images,
        recipe=recipe,
        tap_weights=found.weights(),
        compute=compute,
        group=group,
        strategy=make_strategy(job.strategy, job.teacher_placement, group, compute),
        teacher_cache=_teacher_cache(
            job, teacher, images, found, recipe, compute, group, given, hear
        ),
    )
    if committed:
        distillation.load(committed.state["distillation"])
    first_step = distillation.step
    rows_sum = committed.state.get("metrics") if committed else None
    metrics = MetricsLog(folder, first_step, rows_sum) if group.rank == 0 else None
    pace = _Pace(recipe.training.batch)

    def note(row: Row) -> None:
        images_per_s = pace.tick()
        if metrics:
            metrics.append({**row, "images_per_s": round(images_per_s, 1)})
            if live:
                live.step(row, images_per_s, recipe.training.batch)
            if pace.due():
                step = int(row["step"])
                on_progress(Progress("distil", step, recipe.training.steps, row, images_per_s))

    def save() -> None:
        for row in distillation.settle():
            note(row)
        # A student in parts is put together by all its workers.
        state: dict[str, Any] = {"distillation": distillation.state(), "profile": found.to_json()}
        if metrics:
            state["metrics"] = metrics.flush()
            before_commit()
            place.check_claim(job.claimed)
            place.commit(distillation.step, state)
            if live:
                live.committed(distillation.step)

    finished = distillation.step >= recipe.training.steps
    with metrics or nullcontext():
        for rows in distillation.steps():
            for row in rows:
                note(row)
            step = distillation.step
            watch(distillation)
            finished = step == recipe.training.steps
            ask = group.world_size == 1 or step % _ASK_EVERY_STEPS == 0
            stopping = ask and not finished and group.any(stop())
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
        workers=group.world_size,
        notes=distillation.notes,
    )


def make_strategy(name: str, teacher: str, group: ProcessGroup, compute: Compute) -> Strategy:
    """The strategy called `name`; among the workers that are here, which may be one."""
    if group.world_size == 1:
        return Alone()
    if name == "ddp":
        return Replicated()
    from mimic_ray.method.sharding import Sharded

    return Sharded(compute.torch_device, teacher=teacher == "sharded")


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


def _decoded(job: Job, side: int, group: ProcessGroup, on_progress: ProgressCallback) -> Pixels:
    """The images; workers on one machine fill and read one file of decoded ones."""

    def progress(done: int, total: int) -> None:
        if group.rank == 0:
            on_progress(Progress("decode", done, total))

    limit = job.memory_limit_bytes if group.world_size == 1 else 0
    source = open_images(job.data)
    return open_pixels(source, side, memory_limit_bytes=limit, progress=progress)


def _teacher_cache(
    job: Job,
    teacher: Encoder,
    images: IdentifiedImages,
    found: Profile,
    recipe: Recipe,
    compute: Compute,
    group: ProcessGroup,
    given: Given | None,
    on_progress: ProgressCallback,
) -> TeacherCache | None:
    """The teacher's outputs where they are known or soon pay off; not with several workers."""
    taps = list(found.weights()) if recipe.loss.attention > 0 else []
    key = teacher_cache_key(recipe, images.fingerprint, job.encoder)
    if given:
        known = given.teacher_cache
        return known if known and known.key == key and {*taps} <= {*known.attention} else None
    if group.world_size > 1:
        return None
    return cache_teacher(teacher, images, recipe, taps, compute, key, on_progress)
