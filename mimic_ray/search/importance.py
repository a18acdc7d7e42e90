"""How much of an objective's spread goes with each searched setting.

A setting's trials are put into groups (its choices; thirds of the trials by its value; "not drawn"
where another setting made it irrelevant), and

    eta^2 = variance of the objective's ranks between the groups / their whole variance

less what as many groups explain by chance, (k - 1) / (n - 1) (adjusted R^2). What remains is scaled
to sum to 1. It says what goes together in these trials, not what causes it: a sampler tries more of
what looked good.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from mimic_ray.search.ranking import mean_ranks
from mimic_ray.search.trial import Trial

LEAST_TRIALS = 8
_GROUPS = 3


def importance(trials: Sequence[Trial], objective: str) -> dict[str, float]:
    """Setting -> share, largest first, summing to 1; {} for too few trials or no difference."""
    scored = [trial for trial in trials if trial.scored]
    if len(scored) < LEAST_TRIALS:
        return {}
    values = np.array([trial.score(objective) for trial in scored])
    ranks = mean_ranks(values)
    if np.ptp(ranks) == 0:
        return {}
    keys = dict.fromkeys(key for trial in scored for key in trial.settings)
    explained = {key: _explained(_groups(scored, key), ranks) for key in keys}
    total = sum(explained.values())
    if total <= 0:
        return {}
    shares = {key: value / total for key, value in explained.items()}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _explained(groups: list[Hashable], ranks: np.ndarray) -> float:
    count, kinds = len(ranks), {*groups}
    if len(kinds) < 2 or len(kinds) >= count:
        return 0.0
    members = [ranks[[group == kind for group in groups]] for kind in kinds]
    between = sum(len(m) * (m.mean() - ranks.mean()) ** 2 for m in members)
    share = between / ((ranks - ranks.mean()) ** 2).sum()
    return max(0.0, float(1 - (1 - share) * (count - 1) / (count - len(kinds))))


def _groups(trials: Sequence[Trial], key: str) -> list[Hashable]:
    values = [trial.settings.get(key) for trial in trials]
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len({*numbers}) <= _GROUPS or any(isinstance(value, str) for value in values):
        return [*values]
    cuts = np.quantile(numbers, [i / _GROUPS for i in range(1, _GROUPS)])
    return [None if v is None else int(np.searchsorted(cuts, float(v))) for v in values]
