"""One trial of a search: a distillation with shared inputs, scored on held-out images.

The same function runs in this process, in a trial's own process, and in each worker of a trial
that has several. A trial that was killed continues from its last checkpoint; one that has ended
returns its record.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from mimic_ray.base import devices, user_code
from mimic_ray.base.errors import MimicError, StoppedError
from mimic_ray.base.progress import ignore_progress
from mimic_ray.execution.distill_job import DistillJob
from mimic_ray.execution.export import write_student
from mimic_ray.execution.setup import Precomputed, profile_images
from mimic_ray.execution.shared_inputs import TrialInputs
from mimic_ray.execution.training_control import LocalControl, TrialControl
from mimic_ray.execution.trial_scores import Scorer
from mimic_ray.execution.worker import DistillWorker, open_worker
from mimic_ray.method.collectives import ProcessGroup
from mimic_ray.method.losses.weighted_terms import reads_taps
from mimic_ray.method.mi_profile import Profile, estimate_settings, reselected
from mimic_ray.method.recipe import Recipe, parse_recipe
from mimic_ray.method.student_start import with_weights
from mimic_ray.scanning.training_changes import search_settings
from mimic_ray.search.trial import Trial, Value
from mimic_ray.store.metrics_log import MetricsLog
from mimic_ray.store.study_store import StudyStore, open_study


@dataclass(frozen=True)
class TrialTask:
    """What one trial does; plain values, since task.json holds it.

    Attributes:
        study: Location of the study.
        id: Name of the trial's folder.
        number: Order in which trials began, from 0.
        settings: The searched keys and their values.
        recipe: Canonical recipe, as nested tables.
        encoder: Name of the architecture.
        rungs: Steps after which the search may end the trial.
        device: As in a DistillJob, and so are threads, commit_every and code_folder.
        base: Whether this is the recipe that the search started from.
    """

    study: str
    id: str
    number: int
    settings: Mapping[str, Value]
    recipe: Mapping[str, Any]
    encoder: str
    rungs: tuple[int, ...]
    device: str = "auto"
    threads: int = 0
    commit_every: int = 0
    code_folder: str = ""
    base: bool = False

    def trial(self) -> Trial:
        """Its record before the first step."""
        return Trial(self.id, self.number, "running", dict(self.settings), base=self.base)


def run_trial(
    task: TrialTask,
    inputs: TrialInputs,
    group: ProcessGroup | None = None,
    control: TrialControl | None = None,
) -> Trial:
    """Trains and scores one trial; `control` gets its scores at each rung and at the end.

    An error of the distillation itself is a result: the trial's status is then "failed".
    """
    group, control = group or ProcessGroup(), control or LocalControl()
    started = time.monotonic()
    with closing(open_study(task.study, f"trial-{task.id}-{group.rank}")) as study:
        known = study.read_trial(task.id)
        if known and known.status in ("finished", "stopped"):
            control.report(known)
            return known
        start = replace(known or task.trial(), status="running", error="")
        run = TrialRun(task, study, inputs, group, control, start)
        try:
            with user_code.relative_to(task.code_folder):
                run.train()
        except StoppedError:
            return run.trial  # its status is still "running": a resumed search continues it
        except MimicError as error:
            done = run.trial
            run.trial = replace(
                start, status="failed", error=error.message, step=done.step, seconds=done.seconds
            )
        if group.rank == 0 and run.trial.status in ("finished", "failed"):
            run.finish(time.monotonic() - started)
        elif group.rank == 0 and run.trial.status == "running":
            study.write_trial(run.trial.with_overhead(time.monotonic() - started, start))
        return run.trial


class TrialRun:
    """A trial in progress; `trial` is its record so far."""

    def __init__(
        self,
        task: TrialTask,
        study: StudyStore,
        inputs: TrialInputs,
        group: ProcessGroup,
        control: TrialControl,
        trial: Trial,
    ) -> None:
        self.task, self.study, self.inputs = task, study, inputs
        self.group, self.control = group, control
        self.trial = trial
        self._before = trial
        self._scoring_s = 0.0

    def train(self) -> None:
        """Trains from the last checkpoint, with scores at rungs and at the end by rank 0."""
        task, inputs = self.task, self.inputs
        recipe = parse_recipe(task.recipe, f"trial {task.number}")
        state = inputs.teacher_state()
        compute = devices.choose(task.device, recipe.training.precision, task.threads)
        profile = self._find_profile(recipe, state, compute)
        self.trial = replace(
            self.trial, kept=tuple(profile.weights()) if reads_taps(recipe.loss) else ()
        )
        self._scorer = Scorer(inputs, compute, recipe.training.seed)
        if self.group.rank == 0:
            self.study.write_trial(self.trial)
            self.study.write_recipe(task.id, recipe)
        job = DistillJob(
            run=self.study.run(task.id),
            encoder=task.encoder,
            data="",  # the images are precomputed
            recipe=recipe,
            device=task.device,
            threads=task.threads,
            commit_every=task.commit_every,
            code_folder=task.code_folder,
        )
        searched = search_settings(recipe) == inputs.openings_settings
        precomputed = Precomputed(
            inputs.images,
            profile,
            inputs.teacher_cache,
            inputs.found_changes() if searched else None,
            openings_searched=searched or not recipe.openings.active,
        )
        self._began = time.monotonic()
        with open_worker(job, state, self.group, self.control, precomputed) as worker:
            for step in worker.steps():
                if self.group.rank == 0 and step in task.rungs:
                    self._report_rung(worker)
            self._note_step(worker)
            if self.group.rank == 0:
                self._end(worker)

    def finish(self, seconds: float) -> None:
        """Writes and reports the record of an ended trial that took `seconds` in this process."""
        self.trial = self.trial.with_overhead(seconds, self._before)
        self.study.write_trial(self.trial)
        self.control.report(self.trial)

    def _report_rung(self, worker: DistillWorker) -> None:
        self._score(worker, quick=True)
        self._note_step(worker)
        self.study.write_trial(self.trial)
        self.control.report(self.trial)

    def _end(self, worker: DistillWorker) -> None:
        """Scores a finished student and keeps its weights and curves, of all that was written."""
        if worker.finished:
            self._score(worker, quick=False)
            self.trial = replace(self.trial, status="finished")
            self._keep_results(worker)
        elif (ended := self.study.read_trial(self.task.id)) and ended.status == "stopped":
            self.study.delete_checkpoints(self.task.id)  # stopped by the search at an earlier rung
            self.trial = ended
            return
        extra = dict(self.trial.extra)
        extra["scoring_s"] = round(self._before.scoring_s + self._scoring_s, 2)
        self.trial = replace(self.trial, extra=extra)
        self.study.write_trial(self.trial)

    def _keep_results(self, worker: DistillWorker) -> None:
        run = worker.run
        write_student(run.folder.student, worker.distillation.student.encoder)
        MetricsLog(run.folder, self.trial.step).to_parquet()
        run.store.publish(run.folder.student.name, run.folder.metrics.name)
        run.store.delete(run.folder.metrics_log.name)
        run.delete_checkpoints()

    def _score(self, worker: DistillWorker, *, quick: bool) -> None:
        start = time.monotonic()
        student = worker.distillation.student.encoder
        scores = self._scorer.quick(student) if quick else self._scorer.full(student)
        self._scoring_s += time.monotonic() - start
        self.trial = self.trial.with_scores(scores)

    def _note_step(self, worker: DistillWorker) -> None:
        trained_s = time.monotonic() - self._began - self._scoring_s
        seconds = round(self._before.seconds + trained_s, 2)
        self.trial = replace(self.trial, step=worker.distillation.step, seconds=seconds)

    def _find_profile(
        self, recipe: Recipe, state: Mapping[str, Tensor], compute: devices.Compute
    ) -> Profile:
        """The shared profile with this trial's layers, or its own if it is estimated otherwise."""
        shared = estimate_settings(recipe) == self.inputs.profile_settings
        if shared or not reads_taps(recipe.loss):
            return reselected(Profile.from_json(self.inputs.profile), recipe.mutual_information)
        profile = None
        if self.group.rank == 0:
            teacher, name = with_weights(self.task.encoder, state), self.task.encoder
            profile = profile_images(
                name, teacher, self.inputs.images, recipe, compute, ignore_progress
            )
        return self.group.broadcast(profile)
