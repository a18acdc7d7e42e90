"""Which trial next: optuna's multi-objective TPE, as Ray Tune asks for it.

Ray's own OptunaSearch starts a trial for every suggestion. Here a suggestion whose canonical recipe
is known is answered from its record instead, so that no trial runs twice; and what optuna knows is
told anew from the records of a study that goes on, so that nothing but those has to survive a kill.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from ray.tune.search import Searcher

from mimic_ray.base import seeds
from mimic_ray.method.recipe import Recipe, parse_recipe, set_key
from mimic_ray.search.relevance import canonical
from mimic_ray.search.relevance import trial_id as id_of
from mimic_ray.search.space import Space
from mimic_ray.search.trial import Trial, Value

# So many known suggestions in a row mean that a space of choices is used up.
_MOST_TRIES = 200


@dataclass(frozen=True)
class Suggestion:
    """One trial to run."""

    id: str
    number: int
    settings: Mapping[str, Value]
    recipe: Recipe


class StudySearcher(Searcher):
    """Suggests trials until `wanted` says no more are, or every distinct one was tried."""

    def __init__(
        self,
        space: Space,
        base: Recipe,
        shares: Sequence[float] | None,
        seed: int,
        planned: int,
        known: Sequence[Trial],
        wanted: Callable[[], bool],
        on_suggestion: Callable[[str, Suggestion], None],
    ) -> None:
        super().__init__()
        self._space, self._base, self._shares = space, base.model_dump(mode="json"), shares
        self._wanted, self._on_suggestion = wanted, on_suggestion
        self._known = {trial.id: trial for trial in known if trial.status != "running"}
        self._running: dict[str, tuple[optuna.trial.Trial, str]] = {}  # by Ray's trial id
        self._begun = 1 + max((trial.number for trial in known), default=-1)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        # Other draws after a resume: the ones of the first start are tried already.
        sampler_seed = int(seeds.keys(seed, "sampler", len(self._known))) % (1 << 31)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(
                seed=sampler_seed, n_startup_trials=max(4, planned // 4), constant_liar=True
            )
        self._study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
        for trial in self._known.values():
            self._tell_known(trial)
        interrupted = [trial for trial in known if trial.status == "running"]
        self._numbers = {trial.id: trial.number for trial in interrupted}
        for trial in interrupted:
            self._enqueue(trial.settings)
        if not known:
            self._enqueue({})  # the base recipe itself: what a search has to beat

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        """What Tune calls a config: the suggestion's id; the rest goes by `on_suggestion`."""
        for _ in range(_MOST_TRIES):
            if not self._wanted():
                break
            drawn = self._study.ask()
            settings = self._space.suggest(drawn, self._base)
            recipe = canonical(self._recipe(settings), self._shares)
            found = id_of(recipe)
            known = self._known.get(found)
            if known:
                self._tell(drawn, known)
            elif found in {running for _, running in self._running.values()}:
                self._study.tell(drawn, state=optuna.trial.TrialState.FAIL)
            else:
                self._running[trial_id] = (drawn, found)
                suggestion = Suggestion(found, self._number(found), settings, recipe)
                self._on_suggestion(trial_id, suggestion)
                return {"trial": found, **settings}
        return Searcher.FINISHED

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Multi-objective samplers do not look at what comes before the end."""

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing: `told` brings the record, which says more than Tune's last result."""

    def told(self, ray_id: str, trial: Trial) -> None:
        """How a running trial ended."""
        drawn, _ = self._running.pop(ray_id)
        self._known[trial.id] = trial
        self._tell(drawn, trial)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the trials' records are the state."""

    def restore(self, checkpoint_path: str) -> None:
        """See `save`."""

    def _number(self, found: str) -> int:
        """The one that the trial had before it was interrupted, or the next."""
        if found in self._numbers:
            return self._numbers.pop(found)
        self._begun += 1
        return self._begun - 1

    def _recipe(self, settings: Mapping[str, Value]) -> Recipe:
        return parse_recipe(self._content(settings), "trial")

    def _content(self, settings: Mapping[str, Value]) -> dict[str, Any]:
        content = Recipe.model_validate(self._base).model_dump(mode="json")
        for key, value in settings.items():
            set_key(content, key, value)
        return content

    def _enqueue(self, settings: Mapping[str, Value]) -> bool:
        """Has optuna draw these settings next, if the space holds them."""
        point = self._space.point(self._content(settings))
        if point is not None:
            self._study.enqueue_trial(point)
        return point is not None

    def _tell_known(self, trial: Trial) -> None:
        if self._enqueue(trial.settings):
            drawn = self._study.ask()
            self._space.suggest(drawn, self._base)
            self._tell(drawn, trial)

    def _tell(self, drawn: optuna.trial.Trial, trial: Trial) -> None:
        if trial.scored and trial.status in ("finished", "stopped"):
            self._study.tell(drawn, [trial.fidelity, trial.suspicion])
        else:
            self._study.tell(drawn, state=optuna.trial.TrialState.FAIL)
