"""Which trials nobody beats in both objectives, and which of them to take."""

from __future__ import annotations

from collections.abc import Sequence

from mimic_ray.search.trial import Trial

TOLERANCE = 0.02
RULE = (
    "Chosen is the least suspicious finished trial whose fidelity is at most "
    f"{TOLERANCE:g} below that of the base recipe's own trial; where that was not run, the trial "
    "of the front that is nearest to the best fidelity and the least suspicion at once, each "
    "scaled to the front's range."
)


def pareto_front(trials: Sequence[Trial]) -> list[Trial]:
    """The finished trials that no other beats in both, the least suspicious first.

    Trials that were stopped early are left out: their scores are of another effort. Of equal scores
    the first trial stands for all.
    """
    front: list[Trial] = []
    # Along rising suspicion, a trial is on the front if it has more fidelity than all before it.
    for trial in sorted(_finished(trials), key=lambda t: (t.suspicion, -t.fidelity, t.number)):
        if not front or trial.fidelity > front[-1].fidelity:
            front.append(trial)
    return front


def choose(trials: Sequence[Trial], tolerance: float = TOLERANCE) -> Trial:
    """The trial that `RULE` names; always on the front. Raises ValueError when none is finished."""
    front = pareto_front(trials)
    if not front:
        raise ValueError("no trial has finished with scores")
    base = next((trial for trial in _finished(trials) if trial.base), None)
    if base is None:
        return _knee(front)
    # The front is sorted, so the first that keeps enough is the least suspicious that does; one
    # always does, since nothing on the front with the base's fidelity or more can be missing.
    return next(trial for trial in front if trial.fidelity >= base.fidelity - tolerance)


def _finished(trials: Sequence[Trial]) -> list[Trial]:
    return [trial for trial in trials if trial.status == "finished" and trial.scored]


def _knee(front: Sequence[Trial]) -> Trial:
    """The point nearest to the ideal corner. Scaling either objective changes nothing."""
    low, high = front[0], front[-1]  # the least suspicious, the most faithful
    fidelity = (high.fidelity - low.fidelity) or 1.0
    suspicion = (high.suspicion - low.suspicion) or 1.0

    def distance(trial: Trial) -> float:
        lost = (high.fidelity - trial.fidelity) / fidelity
        suspected = (trial.suspicion - low.suspicion) / suspicion
        return lost**2 + suspected**2

    return min(front, key=distance)
