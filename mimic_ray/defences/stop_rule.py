"""Which strength of each defence a comparison reports, chosen without labels or triggers.

Each defence could be made to look bad (too weak: the backdoor stays) or useless (too strong: the
features are lost). One rule chooses for all: the strongest declared strength whose encoder has, on
held-out clean images, a mean cosine to the suspect encoder of at least that of `default`.

The rule compares the first seed of both, and goes from the strongest strength down to the first
that passes. So it needs no assumption about how the cosine depends on the strength, as a bisection
would. The other seeds run at the chosen strength only.

Everything here is a function of cosines. It says which runs are still needed. The caller does them,
in this process or as Ray tasks, and calls it again with the results.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

BASELINE = "default"


@dataclass(frozen=True)
class DefenceRun:
    """One run: a defence at one strength (None: its own default settings) with one seed."""

    defence: str
    strength: float | None
    seed: int


@dataclass(frozen=True)
class Choice:
    """The strength to report. `reached` says whether it passes the rule, None without a rule."""

    strength: float | None
    reached: bool | None = None


# Of each run that ended: the cosine, or None if the run failed.
Cosines = Mapping[DefenceRun, float | None]


@dataclass(frozen=True)
class Contest:
    """What is compared.

    Attributes:
        baseline: The defence that sets the bound, at its default settings.
        strengths: Of each defence in the order of the table, from weak to strong; () if it has one.
        seeds: Of the purifications.
        stop_rule: Whether the rule chooses; otherwise every defence has its default settings.
        curves: Whether all strengths run, each with all seeds.
    """

    baseline: str
    strengths: Mapping[str, tuple[float, ...]]
    seeds: tuple[int, ...]
    stop_rule: bool = True
    curves: bool = False

    def bound(self, cosines: Cosines) -> float | None:
        """The cosine that a strength must reach; None before the baseline has run."""
        return cosines.get(self._first(self.baseline, None))

    def decides(self, unit: DefenceRun) -> bool:
        """Whether the comparison cannot go on without the result of this run."""
        return self.stop_rule and unit == self._first(self.baseline, None)

    def choice(self, defence: str, cosines: Cosines) -> Choice | None:
        """The strength to report; None until enough runs have ended."""
        declared = self.strengths[defence]
        if not self.stop_rule or defence == self.baseline:
            return Choice(None)
        bound = self.bound(cosines)
        if bound is None:
            return None
        for strength in reversed(declared) if declared else [None]:
            unit = self._first(defence, strength)
            if unit not in cosines:
                return None
            cosine = cosines[unit]
            if cosine is not None and cosine >= bound:
                return Choice(strength, True)
        return Choice(declared[0] if declared else None, False)

    def wanted(self, cosines: Cosines) -> list[DefenceRun]:
        """The runs that can start now, the most urgent first; [] when all that is needed is there,
        or when the run that sets the bound has failed.

        Without a result of the baseline's first run, only what does not depend on it is wanted.
        """
        if any(cosines.get(unit, 0.0) is None for unit in cosines if self.decides(unit)):
            return []
        needed: dict[DefenceRun, None] = {}
        for seed in self.seeds:
            needed[DefenceRun(self.baseline, None, seed)] = None
        for defence in self.strengths:
            needed |= dict.fromkeys(self._of(defence, cosines))
        return [unit for unit in needed if unit not in cosines]

    def most(self) -> int:
        """The largest number of runs that may be needed."""
        return sum(map(self.most_of, self.strengths))

    def most_of(self, defence: str) -> int:
        """The largest number of runs of one defence that may be needed."""
        seeds, declared = len(self.seeds), self.strengths[defence]
        known = defence == self.baseline or not self.stop_rule or not declared
        if self.curves:
            return seeds * (len(declared) + (known and bool(declared)) or 1)
        return seeds if known else len(declared) - 1 + seeds

    def points(self, defence: str, cosines: Cosines) -> list[float | None]:
        """The strengths of which there are rows: the chosen one, or with curves all."""
        choice = self.choice(defence, cosines)
        chosen = [choice.strength] if choice else []
        others = list(self.strengths[defence]) if self.curves else []
        return list(dict.fromkeys([*others, *chosen]))

    def _of(self, defence: str, cosines: Cosines) -> list[DefenceRun]:
        units = []
        choice = self.choice(defence, cosines)
        if choice is None and self.bound(cosines) is not None:
            # The strongest strength that has not run; those above it did not pass.
            waiting = [self._first(defence, each) for each in self.strengths[defence] or (None,)]
            units.append([unit for unit in waiting if unit not in cosines][-1])
        for strength in self.points(defence, cosines):
            units += [DefenceRun(defence, strength, seed) for seed in self.seeds]
        return units

    def _first(self, defence: str, strength: float | None) -> DefenceRun:
        return DefenceRun(defence, strength, self.seeds[0])
