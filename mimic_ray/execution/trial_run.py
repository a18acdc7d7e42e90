"""What one trial of a search does: a distillation from shared inputs, scored on held-out images.

The same function runs in this process, in a trial's own process, and on each worker of a trial
that needs several; it knows none of them. A trial that was killed goes on from its last committed
step; one that ended already answers with its record.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from safetensors.torch import save
from torch import Tensor

from mimic_ray.base import devices, files
from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import MimicError
from mimic_ray.base.progress import ProgressCallback, ignore_progress
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.execution.setup import Given, profile_images, with_weights
from mimic_ray.execution.shared_inputs import TrialInputs
from mimic_ray.execution.trial_scores import Scorer
from mimic_ray.execution.worker import Job, train
from mimic_ray.method.loop import Distillation
from mimic_ray.method.mi_profile import Profile, keeping, same_estimate
from mimic_ray.method.process_group import ProcessGroup
from mimic_ray.method.recipe import Recipe, parse_recipe
from mimic_ray.search.trial import Trial, Value
from mimic_ray.store.checkpoint import latest
from mimic_ray.store.metrics_log import MetricsLog
from mimic_ray.store.run_store import Place, place_of
from mimic_ray.store.study_store import StudyPlace, study_place

Report = Callable[[Trial], None]


@dataclass(frozen=True)
class TrialTask:
    """What is particular to one trial; plain values, so that it travels."""

    study: str  # its place
    id: str
    number: int
    settings: Mapping[str, Value]
    recipe: Mapping[str, Any]  # canonical
    encoder: str
    rungs: tuple[int, ...]  # steps after which the search may end the trial
    device: str = "auto"
    threads: int = 0
    commit_every: int = 100
    base: bool = False  # the base recipe itself

    def trial(self) -> Trial:
        """Its record before the first step."""
        return Trial(self.id, self.number, "running", dict(self.settings), base=self.base)


def run_trial(
    task: TrialTask,
    inputs: TrialInputs,
    *,
    group: ProcessGroup | None = None,
    report: Report = lambda trial: None,
    on_progress: ProgressCallback = ignore_progress,
    stop: Callable[[], bool] = lambda: False,
) -> Trial:
    """Trains and scores; `report` gets the trial at each rung and at its end, on rank 0.

    An error of the distillation itself is a result: the trial's status is then "failed".
    """
    group = group or ProcessGroup()
    with closing(study_place(task.study, f"trial-{task.id}-{group.rank}")) as study:
        return _run_trial(study, task, inputs, group, report, on_progress, stop)


def _run_trial(
    study: StudyPlace,
    task: TrialTask,
    inputs: TrialInputs,
    group: ProcessGroup,
    report: Report,
    on_progress: ProgressCallback,
    stop: Callable[[], bool],
) -> Trial:
    started = time.monotonic()
    known = study.read_trial(task.id)
    if known and known.status in ("finished", "stopped"):
        report(known)
        return known
    recipe = parse_recipe(task.recipe, f"trial {task.number}")
    trial = replace(known or task.trial(), status="running", error="")
    try:
        trial = _distil(study, task, inputs, recipe, trial, group, report, on_progress, stop)
    except MimicError as error:
        trial = replace(trial, status="failed", error=error.message)
    if group.rank == 0 and trial.status in ("finished", "failed"):
        overhead = time.monotonic() - started - trial.seconds - trial.extra.get("scoring_s", 0.0)
        trial = replace(trial, overhead_s=round(overhead, 2))
        study.write_trial(trial)
        report(trial)
    return trial


def _distil(
    study: StudyPlace,
    task: TrialTask,
    inputs: TrialInputs,
    recipe: Recipe,
    trial: Trial,
    group: ProcessGroup,
    report: Report,
    on_progress: ProgressCallback,
    stop: Callable[[], bool],
) -> Trial:
    first = group.rank == 0
    state = inputs.teacher_state()
    compute = devices.choose(task.device, recipe.training.precision, task.threads)
    scorer = Scorer(inputs, compute, recipe.training.seed)
    profile = _profile(task, inputs, recipe, state, compute, group)
    kept = tuple(profile.weights()) if recipe.loss.attention > 0 else ()
    trial = replace(trial, kept=kept)
    scoring_s = 0.0
    if first:
        study.write_trial(trial)
        study.write_recipe(task.id, recipe)

    def score(student: Encoder, trial: Trial, *, quick: bool) -> Trial:
        nonlocal scoring_s
        start = time.monotonic()
        scores = scorer.quick(student) if quick else scorer.full(student)
        scoring_s += time.monotonic() - start
        return trial.with_scores(scores)

    def at_rung(distillation: Distillation) -> None:
        nonlocal trial
        if first and distillation.step in task.rungs:
            trial = score(distillation.student.encoder, trial, quick=True)
            so_far = before + time.monotonic() - began - scoring_s
            trial = replace(trial, step=distillation.step, seconds=round(so_far, 2))
            study.write_trial(trial)
            report(trial)

    before, began = trial.seconds, time.monotonic()
    outcome = train(
        _job(task, study),
        state,
        group=group,
        on_progress=on_progress,
        stop=stop,
        given=Given(inputs.images, profile, inputs.teacher_cache),
        watch=at_rung,
    )
    trained = before + outcome.seconds - scoring_s
    trial = replace(trial, step=outcome.step, seconds=round(trained, 2))
    if not first:
        return trial
    if outcome.finished:
        with _committed(study, task) as place:
            student = _student(task, place)
            trial = replace(score(student, trial, quick=False), status="finished")
            _keep_the_student(place, student, outcome.step)
    elif (ended := study.read_trial(task.id)) and ended.status == "stopped":
        study.drop_checkpoints(task.id)  # this process heard of it only now
        return ended
    extra = {**trial.extra, "scoring_s": round(trial.extra.get("scoring_s", 0) + scoring_s, 2)}
    trial = replace(trial, extra=extra)
    study.write_trial(trial)
    return trial


def _profile(
    task: TrialTask,
    inputs: TrialInputs,
    recipe: Recipe,
    state: Mapping[str, Tensor],
    compute: Compute,
    group: ProcessGroup,
) -> Profile:
    """The shared profile with this trial's layers kept; a new one if it is estimated otherwise."""
    wanted = recipe.mutual_information
    if recipe.loss.attention == 0 or same_estimate(wanted, inputs.profile_settings):
        return keeping(Profile.from_json(inputs.profile), wanted)
    teacher = with_weights(task.encoder, state)
    made = None
    if group.rank == 0:
        made = profile_images(
            task.encoder, teacher, inputs.images, recipe, compute, lambda news: None
        )
    return group.broadcast(made)


def _job(task: TrialTask, study: StudyPlace) -> Job:
    return Job(
        run=study.run(task.id),
        encoder=task.encoder,
        data="",  # the images are given
        recipe=task.recipe,
        device=task.device,
        threads=task.threads,
        commit_every=task.commit_every,
    )


@contextmanager
def _committed(study: StudyPlace, task: TrialTask) -> Iterator[Place]:
    """The run of the trial, with its last committed step."""
    place = place_of(study.run(task.id), "scores")
    try:
        place.fetch()
        yield place
    finally:
        place.leave()


def _student(task: TrialTask, place: Place) -> Encoder:
    """The student of the last committed step."""
    committed = latest(place.folder)
    assert committed is not None  # train() commits its last step
    prefix = "encoder.net."
    weights = committed.state["distillation"]["student"]
    return with_weights(
        task.encoder, {k.removeprefix(prefix): w for k, w in weights.items() if prefix in k}
    )


def _keep_the_student(place: Place, student: Encoder, step: int) -> None:
    """Of all that training wrote, the weights and the curves."""
    folder = place.folder
    state = {k: v.detach().cpu().contiguous().clone() for k, v in student.net.state_dict().items()}
    files.write_bytes(folder.student, save(state))
    MetricsLog(folder, step).to_parquet()
    place.put(folder.student.name, folder.metrics.name)
    place.drop(folder.metrics_log.name)
    place.drop_checkpoints()
