"""The terms of a recipe's loss with their weights, and whether they can be computed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mimic_ray.method.losses.loss_registry import LOSSES, LossTerm
from mimic_ray.method.recipe_tables import Loss


@dataclass(frozen=True)
class WeightedTerm:
    """One term of the sum."""

    weight: float
    compute: LossTerm


def weighted_terms(loss: Loss, *, with_user_code: bool = True) -> dict[str, WeightedTerm]:
    """The terms with a weight above 0, by name.

    Without `with_user_code` only the built-in ones: no file of the user runs.
    """
    return {
        name: WeightedTerm(term.weight, LOSSES.resolve(name, term.own))
        for name, term in loss.active().items()
        if with_user_code or name in LOSSES
    }


def reads_taps(loss: Loss) -> bool:
    """Whether a term with a weight reads maps of the taps."""
    return uses_taps(weighted_terms(loss).values())


def surely_reads_no_tap(loss: Loss) -> bool:
    """Whether all terms are built-in ones that read no tap. Runs no file of the user."""
    terms = weighted_terms(loss, with_user_code=False)
    return len(terms) == len(loss.active()) and not uses_taps(terms.values())


def uses_taps(terms: Iterable[WeightedTerm]) -> bool:
    """Whether a term reads maps of the taps."""
    return any(term.compute.uses_taps for term in terms)


def uses_second_view(terms: Iterable[WeightedTerm]) -> bool:
    """Whether a term reads projections of a second view."""
    return any(term.compute.uses_second_view for term in terms)
