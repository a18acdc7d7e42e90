"""The driver of a search: keeps the records of trials and decides when the search is over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

from mimic_ray.base import user_code
from mimic_ray.distributed.drain_notice import DrainNotice
from mimic_ray.distributed.head_health import HeadHealth
from mimic_ray.distributed.run_control import RunControl
from mimic_ray.distributed.searcher import StudySearcher, Suggestion
from mimic_ray.distributed.trial_process import TrialMessage
from mimic_ray.distributed.trial_slots import TrialSlots
from mimic_ray.execution.trial_run import TrialTask
from mimic_ray.search.search_plan import SearchPlan
from mimic_ray.search.search_progress import SearchProgress, SearchProgressCallback
from mimic_ray.search.trial import RunningTrial, Trial
from mimic_ray.store.progress_file import ProgressRecord, write_progress
from mimic_ray.store.study_store import StudyStore


class SearchDriver:
    """Watches Tune's `fit()` (see watched_fit.py). Tune calls `trial_started` and `trial_ended` in
    the thread of `fit()`; everything else runs in the main thread."""

    def __init__(
        self,
        study: StudyStore,
        plan: SearchPlan,
        known: Sequence[Trial],
        slots: TrialSlots,
        on_progress: SearchProgressCallback,
        should_stop: Callable[[], int],
        head: HeadHealth | None = None,
    ) -> None:
        self.study, self.plan, self._head = study, plan, head
        ended = [trial for trial in known if trial.status != "running"]
        self.slots = slots
        self.progress = SearchProgress(plan.trials, ended, len(ended), concurrent=slots.now)
        self.control: RunControl[TrialMessage] = RunControl()
        self._notice = DrainNotice()
        self.searcher = StudySearcher(
            plan, known, self.is_over, self._suggested, lambda: self.slots.now
        )
        self._on_progress, self._should_stop = on_progress, should_stop
        self._tasks: dict[str, TrialTask] = {}  # by Tune's trial id
        self._started: dict[str, float] = {}
        self._before: dict[str, Trial] = {}  # records of this search's trials when it took them up
        self._written, self._written_at = 0, 0.0
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """Tune saves copies of its searcher and callbacks, which nothing reads."""
        return {}

    def is_over(self) -> bool:
        """Whether no more trials should start, after a stop request or too many failures."""
        return self.stop_requests() > 0

    # -- in the main thread

    def poll(self) -> None:
        if self._head:
            self._head.check()
        self.control.nodes_draining(self._notice.count())
        for message in self.control.messages():
            self._note(message)
        self.slots.poll(len(self.progress.running), self.progress.remaining)
        self.progress.concurrent = self.slots.now
        self._on_progress(self.progress)
        self.write_progress()

    def stop_requests(self) -> int:
        return self._should_stop() or int(self._failed_too_often())

    def request_stop(self) -> None:
        self.control.request_stop()

    def write_progress(self) -> None:
        """Writes the study's progress file every few seconds and when a trial has ended."""
        clock, ended = time.monotonic(), len(self.progress.ended)
        interval_s = self.study.store.progress_interval_s
        if ended > self._written or clock - self._written_at >= interval_s:
            self._written, self._written_at = ended, clock
            progress = ProgressRecord(
                self.plan.trials,
                ended,
                seconds_left=self.progress.seconds_left(),
                workers=len(self.progress.running),
                phase="search",
                study=True,
            )
            write_progress(self.study.store, progress)

    def _failed_too_often(self) -> bool:
        failed = sum(trial.status == "failed" for trial in self.progress.ended)
        return failed > self.plan.failed_share * self.plan.trials

    def _note(self, message: TrialMessage) -> None:
        with self._lock:
            running = self.progress.running.get(message.trial_id)
            if running is None:
                return
            content = message.content
            if isinstance(content, Trial):
                running = replace(running, scores=content.scores)
            elif content.phase == "distil":
                running = replace(running, step=content.done)
            self.progress.running[message.trial_id] = running

    # -- in the thread of Tune's fit()

    def trial_started(self, ray_id: str) -> None:
        """A trial's process starts, for the first time or again after a kill."""
        self._started.setdefault(ray_id, time.monotonic())

    def trial_ended(self, ray_id: str, error: str = "") -> None:
        """A trial's process has ended. Its record has the result, or `error` if it was killed."""
        task = self._tasks.pop(ray_id, None)
        if task is None:
            return
        with self._lock:
            self.progress.running.pop(task.id, None)
        trial = self.study.read_trial(task.id) or task.trial()
        if trial.status == "running" and error:
            trial = replace(trial, status="failed", error=error)
        elif trial.status == "running" and not self.is_over():
            trial = replace(trial, status="stopped")  # at a rung, by the scheduler
            self.study.delete_checkpoints(task.id)
        elif trial.status == "running":
            return  # continues with --resume
        wall_s = time.monotonic() - self._started.pop(ray_id, time.monotonic())
        trial = trial.with_overhead(wall_s, self._before.pop(ray_id, task.trial()))
        self.study.write_trial(trial)
        self.progress.ended.append(trial)
        self.searcher.trial_ended(ray_id, trial)

    def _suggested(self, ray_id: str, suggestion: Suggestion) -> None:
        task = self._task(suggestion)
        self._tasks[ray_id] = task
        before = self.study.read_trial(task.id) or task.trial()
        self._before[ray_id] = before
        self.study.write_trial(before)
        self.study.write_task(task.id, asdict(task))
        steps = suggestion.recipe.training.steps
        with self._lock:
            self.progress.running[task.id] = RunningTrial(
                task.id, task.number, task.settings, 0, steps, time.time()
            )

    def _task(self, suggestion: Suggestion) -> TrialTask:
        recipe = suggestion.recipe
        return TrialTask(
            study=self.study.address,
            id=suggestion.id,
            number=suggestion.number,
            settings=dict(suggestion.settings),
            recipe=recipe.model_dump(mode="json"),
            encoder=self.plan.encoder,
            rungs=self.plan.rungs(recipe),
            device=self.plan.device,
            threads=self.plan.threads,
            commit_every=max(25, recipe.training.steps // 8),
            code_folder=user_code.current_folder(),
            base=self.plan.is_base(recipe),
        )
