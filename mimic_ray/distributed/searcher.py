"""Suggests recipes: a designed start, then optuna's multi-objective TPE, as a Ray Tune Searcher.

Ray's OptunaSearch starts a trial for every suggestion. Here a suggestion with a known canonical
recipe gets the result of its record, so no trial runs twice. On a resume, optuna learns from the
records of the study, so there is no other state to save.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import optuna
from optuna.trial import TrialState
from ray.tune.search import Searcher

from mimic_ray.base import seeds
from mimic_ray.method.recipe import Recipe, parse_recipe
from mimic_ray.method.recipe_keys import set_key
from mimic_ray.search.design import space_filling
from mimic_ray.search.objectives.objective_registry import OBJECTIVES, objectives
from mimic_ray.search.relevance import canonical
from mimic_ray.search.relevance import trial_id as id_of
from mimic_ray.search.search_plan import SearchPlan
from mimic_ray.search.trial import Trial, Value

# After this many known suggestions in a row, the discrete space counts as exhausted.
_MOST_TRIES = 200
_LEAST_DESIGNED = 4


@dataclass(frozen=True)
class Suggestion:
    """One trial to run."""

    id: str
    number: int
    settings: Mapping[str, Value]
    recipe: Recipe


class StudySearcher(Searcher):
    """Suggests trials until `is_over()`, or until the space is exhausted.

    `on_suggestion` gets Tune's id of each new trial and its suggestion. At most `slots()` trials
    run at the same time.
    """

    def __init__(
        self,
        plan: SearchPlan,
        known: Sequence[Trial],
        is_over: Callable[[], bool],
        on_suggestion: Callable[[str, Suggestion], None],
        slots: Callable[[], int],
    ) -> None:
        super().__init__()
        self._plan, self._base = plan, plan.base.model_dump(mode="json")
        self._is_over, self._on_suggestion, self._slots = is_over, on_suggestion, slots
        self._known = {trial.id: trial for trial in known if trial.status != "running"}
        self._running: dict[str, tuple[optuna.trial.Trial, str]] = {}  # by Tune's trial id
        # TPE needs results: the trials before them, and all that start at once, are designed.
        self._designed = max(_LEAST_DESIGNED, plan.trials // 4, min(slots(), plan.trials))
        self._next_number = 1 + max((trial.number for trial in known), default=-1)
        self._study = self._new_study()
        for trial in self._known.values():
            self._replay(trial)
        interrupted = [trial for trial in known if trial.status == "running"]
        self._numbers = {trial.id: trial.number for trial in interrupted}
        for trial in interrupted:
            self._enqueue(trial.settings)
        self._enqueue_design()

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Tune's config: the suggestion's id and settings. None if no slot is free now."""
        if len(self._running) >= self._slots() and not self._is_over():
            return None
        for _ in range(_MOST_TRIES):
            if self._is_over():
                break
            drawn = self._study.ask()
            settings = self._plan.space.suggest(drawn, self._base)
            recipe = canonical(parse_recipe(self._with(settings), "trial"), self._plan.shares)
            found = id_of(recipe)
            if known := self._known.get(found):
                self._report(drawn, known)
            elif found in {running for _, running in self._running.values()}:
                self._study.tell(drawn, state=TrialState.FAIL)
            else:
                self._running[trial_id] = (drawn, found)
                suggestion = Suggestion(found, self._number(found), settings, recipe)
                self._on_suggestion(trial_id, suggestion)
                return {"trial": found, **settings}
        return Searcher.FINISHED

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Multi-objective samplers ignore intermediate results."""

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Does nothing: `trial_ended` gets the record, which has more than Tune's last result."""

    def trial_ended(self, ray_id: str, trial: Trial) -> None:
        """Reports the result of a running trial to optuna."""
        drawn, _ = self._running.pop(ray_id)
        self._known[trial.id] = trial
        self._report(drawn, trial)

    def save(self, checkpoint_path: str) -> None:
        """Does nothing: the records of the trials are the state."""

    def restore(self, checkpoint_path: str) -> None:
        """See `save`."""

    def _new_study(self) -> optuna.Study:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        # Another seed after a resume, because the first suggestions have been tried.
        seed = int(seeds.keys(self._plan.seed, "sampler", len(self._known))) % (1 << 31)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=self._designed, constant_liar=True
            )
        return optuna.create_study(directions=_directions(), sampler=sampler)

    def _number(self, found: str) -> int:
        """The number that the trial had before an interruption, or the next one."""
        if found in self._numbers:
            return self._numbers.pop(found)
        self._next_number += 1
        return self._next_number - 1

    def _with(self, settings: Mapping[str, Value]) -> dict[str, Any]:
        """The base recipe with other settings."""
        content = self._plan.base.model_dump(mode="json")
        for key, value in settings.items():
            set_key(content, key, value)
        return content

    def _enqueue(self, settings: Mapping[str, Value]) -> bool:
        """Makes optuna suggest these settings next, if the space contains them."""
        point = self._plan.space.point(self._with(settings))
        if point is not None:
            self._study.enqueue_trial(point)
        return point is not None

    def _enqueue_design(self) -> None:
        """The base recipe, for comparison, and a space-filling set, without what has run."""
        points = space_filling(self._plan.space, self._base, self._designed - 1, self._plan.seed)
        begun = {*self._known, *self._numbers}
        missing = self._designed - len(begun)
        for settings in ({}, *points):
            recipe = canonical(parse_recipe(self._with(settings), "trial"), self._plan.shares)
            if missing > 0 and id_of(recipe) not in begun:
                self._enqueue(settings)
                missing -= 1

    def _replay(self, trial: Trial) -> None:
        if self._enqueue(trial.settings):
            drawn = self._study.ask()
            self._plan.space.suggest(drawn, self._base)
            self._report(drawn, trial)

    def _report(self, drawn: optuna.trial.Trial, trial: Trial) -> None:
        if trial.scored and trial.status in ("finished", "stopped"):
            self._study.tell(drawn, [trial.score(name) for name in OBJECTIVES])
        else:
            self._study.tell(drawn, state=TrialState.FAIL)


def _directions() -> list[Literal["minimize", "maximize"]]:
    return [objective.direction for objective in objectives().values()]
