"""What one trial of a search does: a distillation from shared inputs, scored on held-out images.

The same function runs in this process, in a trial's own process, and on each worker of a trial
that needs several; it knows none of them. A trial that was killed goes on from its last committed
step; one that ended already answers with its record.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from mimic_ray.base import devices, files
from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import MimicError
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.method.loop import Distillation
from mimic_ray.method.profile import Profile, keeping, same_estimate
from mimic_ray.method.ranks import Ranks
from mimic_ray.method.recipe import Recipe, parse_recipe
from mimic_ray.runs.commit import latest
from mimic_ray.runs.folder import RunFolder
from mimic_ray.runs.metrics import MetricsLog
from mimic_ray.runs.prepare import Given, profile_images, with_weights
from mimic_ray.runs.progress import Progress
from mimic_ray.runs.recipe_file import write_recipe
from mimic_ray.runs.study import StudyFolder, read_trial, write_trial
from mimic_ray.runs.training import Job, train
from mimic_ray.runs.trial_inputs import TrialInputs
from mimic_ray.runs.trial_scores import Scorer
from mimic_ray.search.trial import Trial, Value

Report = Callable[[Trial], None]


@dataclass(frozen=True)
class TrialTask:
    """What is particular to one trial; plain values, so that it travels."""

    study: str
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
    ranks: Ranks | None = None,
    report: Report = lambda trial: None,
    tell: Callable[[Progress], None] = lambda progress: None,
    stop: Callable[[], bool] = lambda: False,
) -> Trial:
    """Trains and scores; `report` gets the trial at each rung and at its end, on rank 0.

    An error of the distillation itself is a result: the trial's status is then "failed".
    """
    started = time.monotonic()
    ranks = ranks or Ranks()
    study = StudyFolder(Path(task.study))
    known = read_trial(study, task.id)
    if known and known.status in ("finished", "stopped"):
        report(known)
        return known
    recipe = parse_recipe(task.recipe, f"trial {task.number}")
    trial = replace(known or task.trial(), status="running", error="")
    try:
        trial = _distil(task, inputs, recipe, trial, ranks, report, tell, stop)
    except MimicError as error:
        trial = replace(trial, status="failed", error=error.message)
    if ranks.rank == 0 and trial.status in ("finished", "failed"):
        overhead = time.monotonic() - started - trial.seconds - trial.extra.get("scoring_s", 0.0)
        trial = replace(trial, overhead_s=round(overhead, 2))
        write_trial(study, trial)
        report(trial)
    return trial


def _distil(
    task: TrialTask,
    inputs: TrialInputs,
    recipe: Recipe,
    trial: Trial,
    ranks: Ranks,
    report: Report,
    tell: Callable[[Progress], None],
    stop: Callable[[], bool],
) -> Trial:
    study = StudyFolder(Path(task.study))
    folder = study.trial(task.id)
    first = ranks.rank == 0
    state = inputs.teacher_state()
    compute = devices.choose(task.device, recipe.training.precision, task.threads)
    scorer = Scorer(inputs, compute, recipe.training.seed)
    profile = _profile(task, inputs, recipe, state, compute, ranks)
    kept = tuple(profile.weights()) if recipe.loss.attention > 0 else ()
    trial = replace(trial, kept=kept)
    scoring_s = 0.0
    if first:
        write_trial(study, trial)
        write_recipe(folder.recipe, recipe)

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
            write_trial(study, trial)
            report(trial)

    before, began = trial.seconds, time.monotonic()
    outcome = train(
        _job(task, folder),
        state,
        ranks=ranks,
        tell=tell,
        stop=stop,
        given=Given(inputs.images, profile, inputs.recording),
        watch=at_rung,
    )
    trained = before + outcome.seconds - scoring_s
    trial = replace(trial, step=outcome.step, seconds=round(trained, 2))
    if not first:
        return trial
    if outcome.finished:
        student = _student(task, folder)
        trial = replace(score(student, trial, quick=False), status="finished")
        _keep_the_student(folder, student, outcome.step)
        drop_checkpoints(study, task.id)
    elif (ended := read_trial(study, task.id)) and ended.status == "stopped":
        drop_checkpoints(study, task.id)  # this process heard of it only now
        return ended
    extra = {**trial.extra, "scoring_s": round(trial.extra.get("scoring_s", 0) + scoring_s, 2)}
    trial = replace(trial, extra=extra)
    write_trial(study, trial)
    return trial


def _profile(
    task: TrialTask,
    inputs: TrialInputs,
    recipe: Recipe,
    state: Mapping[str, Tensor],
    compute: Compute,
    ranks: Ranks,
) -> Profile:
    """The shared profile with this trial's layers kept; a new one if it is estimated otherwise."""
    wanted = recipe.mutual_information
    if recipe.loss.attention == 0 or same_estimate(wanted, inputs.profile_settings):
        return keeping(Profile.from_json(inputs.profile), wanted)
    teacher = with_weights(task.encoder, state)
    made = None
    if ranks.rank == 0:
        made = profile_images(
            task.encoder, teacher, inputs.images, recipe, compute, lambda news: None
        )
    return ranks.from_first(made)


def _job(task: TrialTask, folder: RunFolder) -> Job:
    return Job(
        run=str(folder.path),
        encoder=task.encoder,
        data="",  # the images are given
        recipe=task.recipe,
        device=task.device,
        threads=task.threads,
        commit_every=task.commit_every,
    )


def _student(task: TrialTask, folder: RunFolder) -> Encoder:
    """The student of the last committed step."""
    committed = latest(folder)
    assert committed is not None  # train() commits its last step
    prefix = "encoder.net."
    weights = committed.state["distillation"]["student"]
    return with_weights(
        task.encoder, {k.removeprefix(prefix): w for k, w in weights.items() if prefix in k}
    )


def drop_checkpoints(study: StudyFolder, trial_id: str) -> None:
    """Removes what only a resume needs: it would fill the disk, trial by trial."""
    shutil.rmtree(study.trial(trial_id).checkpoints, ignore_errors=True)


def _keep_the_student(folder: RunFolder, student: Encoder, step: int) -> None:
    """Of all that training wrote, the weights and the curves."""
    state = {k: v.detach().cpu().contiguous().clone() for k, v in student.net.state_dict().items()}
    files.write_bytes(folder.student, save(state))
    MetricsLog(folder, step).to_parquet()
