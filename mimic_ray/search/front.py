"""Which trials no other beats in all objectives, and which of them to choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mimic_ray.search.objectives.objective_registry import Objective, objectives
from mimic_ray.search.trial import Trial


def rule() -> str:
    """How `choose` chooses, in two sentences."""
    leading = [f"the {o.better.removesuffix('er')}est {name}" for name, o in _leading().items()]
    limits = [
        f"{name} at most {o.tolerance:g} worse"
        for name, o in objectives().items()
        if o.tolerance is not None
    ]
    return (
        f"Chosen is the finished trial with {' and '.join(leading)} among those with "
        f"{' and '.join(limits)} than that of the base recipe's own trial. Without a finished "
        "trial of the base recipe, it is the trial of the front that is nearest to the best of "
        "each objective at once, each scaled to the front's range."
    )


def pareto_front(trials: Sequence[Trial]) -> list[Trial]:
    """The finished trials that no other dominates; the best in the leading objective first.

    Trials that were stopped early are left out: their scores are of another effort. Of equal
    scores the first trial stands for all.
    """
    finished = sorted(_finished(trials), key=lambda trial: trial.number)
    points = {trial.id: _point(trial, objectives()) for trial in finished}
    front = [
        trial
        for trial in finished
        if not any(
            _dominates(points[other.id], points[trial.id])
            or (points[other.id] == points[trial.id] and other.number < trial.number)
            for other in finished
        )
    ]
    leading = _leading()
    return sorted(front, key=lambda trial: [-value for value in _point(trial, leading)])


def choose(trials: Sequence[Trial], tolerances: Mapping[str, float] | None = None) -> Trial:
    """The trial that `rule` describes; always on the front.

    `tolerances` replace those of the objectives. Raises ValueError when no trial has finished.
    """
    front = pareto_front(trials)
    if not front:
        raise ValueError("no trial has finished with scores")
    base = next((trial for trial in _finished(trials) if trial.base), None)
    if base is None:
        return _nearest_to_ideal(front, objectives())
    limits = {n: o.tolerance for n, o in objectives().items() if o.tolerance is not None}
    limits |= tolerances or {}
    # Never empty: the base itself is on the front or is dominated by a trial of it.
    allowed = [
        trial
        for trial in front
        if all(_keeps(trial, base, name, limit) for name, limit in limits.items())
    ]
    return _nearest_to_ideal(allowed, _leading())


def _keeps(trial: Trial, base: Trial, name: str, limit: float) -> bool:
    if objectives()[name].direction == "maximize":
        return trial.score(name) >= base.score(name) - limit
    return trial.score(name) <= base.score(name) + limit


def _leading() -> dict[str, Objective]:
    """The objectives without a tolerance, which decide among the trials that are allowed."""
    everything = objectives()
    return {n: o for n, o in everything.items() if o.tolerance is None} or everything


def _finished(trials: Sequence[Trial]) -> list[Trial]:
    return [trial for trial in trials if trial.status == "finished" and trial.scored]


def _point(trial: Trial, wanted: Mapping[str, Objective]) -> list[float]:
    """The scores, each with the sign that makes larger better."""
    return [objective.sign * trial.score(name) for name, objective in wanted.items()]


def _dominates(first: Sequence[float], second: Sequence[float]) -> bool:
    pairs = list(zip(first, second, strict=True))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


def _nearest_to_ideal(trials: Sequence[Trial], wanted: Mapping[str, Objective]) -> Trial:
    """The trial nearest to the best value of each objective, scaled to the range of the trials."""
    points = {trial.id: _point(trial, wanted) for trial in trials}
    columns = list(zip(*points.values(), strict=True))
    best = [max(column) for column in columns]
    ranges = [(max(column) - min(column)) or 1.0 for column in columns]

    def distance(trial: Trial) -> float:
        point = zip(best, points[trial.id], ranges, strict=True)
        return sum(((high - value) / width) ** 2 for high, value, width in point)

    return min(trials, key=distance)
