"""One worker of a distillation: sets up, trains step by step, and commits checkpoints.

The same code runs in the process of the command and in a Ray Train worker; it knows neither.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from torch import Tensor

from mimic_ray.base import devices, user_code
from mimic_ray.base.progress import Progress
from mimic_ray.data.decoded_images import IdentifiedImages
from mimic_ray.execution.background_commit import BackgroundCommit
from mimic_ray.execution.distill_job import DistillJob, Outcome
from mimic_ray.execution.image_rate import ImageRate
from mimic_ray.execution.preparation import Preparation
from mimic_ray.execution.setup import Precomputed, make_strategy
from mimic_ray.execution.training_control import LocalControl, TrainingControl
from mimic_ray.method.collectives import ProcessGroup
from mimic_ray.method.loop import Distillation, Row
from mimic_ray.method.student_start import first_student, with_weights
from mimic_ray.scanning.training_changes import NOT_SEARCHED
from mimic_ray.store.checkpoint import latest
from mimic_ray.store.metrics_log import MetricsLog
from mimic_ray.store.progress_file import ProgressWriter
from mimic_ray.store.run_store import RunStore, open_run

_REPORT_EVERY_S = 0.25
# Several workers must agree to stop, which costs a collective.
_CHECK_STOP_EVERY_STEPS = 8


def train(
    job: DistillJob,
    teacher_state: Mapping[str, Tensor],
    group: ProcessGroup | None = None,
    control: TrainingControl | None = None,
) -> Outcome:
    """Trains from the last checkpoint to the end, or until a stop is requested."""
    with open_worker(job, teacher_state, group, control) as worker:
        for _ in worker.steps():
            pass
        return worker.outcome()


@contextmanager
def open_worker(
    job: DistillJob,
    teacher_state: Mapping[str, Tensor],
    group: ProcessGroup | None = None,
    control: TrainingControl | None = None,
    precomputed: Precomputed | None = None,
) -> Iterator[DistillWorker]:
    """A worker that is set up. `precomputed` has what the trials of a search share."""
    group = group or ProcessGroup()
    run = open_run(job.run, f"worker-{group.rank}")
    try:
        with user_code.relative_to(job.code_folder):
            control = control or LocalControl()
            worker = DistillWorker(run, job, teacher_state, group, control, precomputed)
            try:
                yield worker
            except Exception:
                worker.commits.settle()
                raise
    finally:
        run.store.close()


class DistillWorker:
    """Training between two steps; `distillation` may be read then."""

    def __init__(
        self,
        run: RunStore,
        job: DistillJob,
        teacher_state: Mapping[str, Tensor],
        group: ProcessGroup,
        control: TrainingControl,
        precomputed: Precomputed | None,
    ) -> None:
        self.run, self.job, self.group, self.control = run, job, group, control
        self._is_first = group.rank == 0
        self._draining = 0  # machines, as far as this worker has reacted
        self.commits = BackgroundCommit(self._write_checkpoint)
        self._setup(teacher_state, precomputed)

    def _setup(self, teacher_state: Mapping[str, Tensor], precomputed: Precomputed | None) -> None:
        """Everything before the first step."""
        job, recipe = self.job, self.job.recipe
        self.compute = devices.choose(job.device, recipe.training.precision, job.threads)
        progress_file = None
        if self._is_first:
            progress_file = self._progress_file = ProgressWriter(
                self.run.store, recipe.training.steps, self.group.world_size
            )
        prepare = Preparation(job, self.group, self.compute, self.control, progress_file)
        self.run.fetch(others=self._is_first)
        teacher = with_weights(job.encoder, teacher_state)
        self.images: IdentifiedImages = (
            precomputed.images if precomputed else prepare.open_images(teacher.spec.input_size)
        )
        checkpoint = latest(self.run.folder)
        self._started = time.monotonic()
        self.profile = (
            precomputed.profile
            if precomputed
            else prepare.make_profile(teacher, self.images, checkpoint)
        )
        self.openings = (
            precomputed.openings
            if precomputed and precomputed.openings_searched
            else prepare.find_openings(teacher, self.images, checkpoint)
        )
        self.distillation = Distillation(
            student=first_student(job.encoder, teacher_state, recipe),
            teacher=teacher,
            images=self.images,
            recipe=recipe,
            tap_weights=self.profile.weights(),
            compute=self.compute,
            group=self.group,
            strategy=make_strategy(job.strategy, job.teacher_placement, self.group, self.compute),
            teacher_cache=prepare.find_teacher_cache(
                teacher, self.images, self.profile, precomputed
            ),
            openings=self.openings,
        )
        rows_sha256 = None
        if checkpoint:
            self.distillation.load(checkpoint.state["distillation"])
            rows_sha256 = checkpoint.state.get("metrics")
        self._first_step = self.distillation.step
        if self._is_first:
            self._metrics = MetricsLog(self.run.folder, self._first_step, rows_sha256)
        self._image_rate = ImageRate(recipe.training.batch)
        self._reported_at = 0.0

    def steps(self) -> Iterator[int]:
        """Yields the number of each step after it, before its checkpoint is written."""
        with self._metrics if self._is_first else nullcontext():
            for rows in self.distillation.steps():
                self._log(rows)
                step = self.distillation.step
                yield step
                stopping = not self.finished and self._must_stop()
                if self.finished or stopping or self._commit_is_due():
                    self._commit()
                if stopping:
                    break
            self._wait_for_commit()

    @property
    def finished(self) -> bool:
        return self.distillation.step >= self.job.recipe.training.steps

    def outcome(self) -> Outcome:
        seconds = time.monotonic() - self._started
        trained = (self.distillation.step - self._first_step) * self.job.recipe.training.batch
        return Outcome(
            finished=self.finished,
            step=self.distillation.step,
            images=len(self.images),
            broken=list(self.images.broken),
            seconds=seconds,
            images_per_s=trained / max(seconds, 1e-9),
            compute=self.compute.facts(),
            profile=self.profile.to_json(),
            workers=self.group.world_size,
            notes=[*self.distillation.notes, *self._openings_note()],
        )

    def _openings_note(self) -> list[str]:
        if self.openings or not self.job.recipe.openings.active:
            return []
        return [NOT_SEARCHED]

    def _log(self, rows: list[Row]) -> None:
        """Metrics of the latest steps to files and to the command, by rank 0."""
        if not self._is_first:
            return
        training = self.job.recipe.training
        if (committed := self.commits.check()) is not None:
            self._progress_file.committed(committed)
        for row in rows:
            images_per_s = self._image_rate.step_done(self.distillation.waited_s)
            data_wait = round(self._image_rate.data_wait, 4)
            speed = {"images_per_s": round(images_per_s, 1), "data_wait": data_wait}
            self._metrics.append({**row, **speed})
            self._progress_file.step(row, images_per_s, training.batch)
            if time.monotonic() - self._reported_at >= _REPORT_EVERY_S:
                self._reported_at = time.monotonic()
                step = int(row["step"])
                self.control.post(
                    Progress("distil", step, training.steps, row, images_per_s, data_wait)
                )

    def _commit_is_due(self) -> bool:
        """The same answer for all workers, who take part in a commit."""
        step, every = self.distillation.step, self.job.commit_every
        if every and step % every == 0:
            return True
        if self.group.world_size > 1 and step % _CHECK_STOP_EVERY_STEPS:
            return False
        return self.group.any(self._is_first and self._wants_commit())

    def _wants_commit(self) -> bool:
        """Whether rank 0 wants a commit at this step, apart from those of `commit_every`.

        At once when a machine is announced to be taken away, and then as often as it costs little,
        because the announcement says at most until when this machine works.
        """
        if (draining := self.control.draining()) > self._draining:
            self._draining = draining
            return True
        return bool(self._draining or not self.job.commit_every) and self.commits.due()

    def _commit(self) -> None:
        """Begins to write a checkpoint. All workers take part: the student may be split."""
        self._log(self.distillation.settle())
        begun = time.monotonic()
        state: dict[str, Any] = {
            "distillation": self.distillation.state(),
            "profile": self.profile.to_json(),
            "openings": self.openings.state() if self.openings else None,
        }
        if not self._is_first:
            return
        state["metrics"] = self._metrics.flush()
        collected_s = time.monotonic() - begun
        self.commits.start(self.distillation.step, state, collected_s=collected_s)

    def _write_checkpoint(self, step: int, state: Mapping[str, Any]) -> None:
        """In the thread of `commits`."""
        self.control.check_current()
        self.run.lease.check(self.job.lease)
        self.run.commit(step, state)

    def _wait_for_commit(self) -> None:
        """At the end of the steps: what was begun is committed."""
        if not self._is_first:
            return
        self.commits.wait()
        self._log([])

    def _must_stop(self) -> bool:
        """The same answer for all workers."""
        if self.group.world_size > 1 and self.distillation.step % _CHECK_STOP_EVERY_STEPS:
            return False
        return self.group.any(self._is_first and self.control.should_stop())
