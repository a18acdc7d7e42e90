"""Selects taps of an encoder by name or pattern."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from mimic_ray.base.errors import UnknownNameError
from mimic_ray.base.text import near_names
from mimic_ray.encoders.encoder import Spec


def chosen_taps(spec: Spec, patterns: Sequence[str]) -> tuple[str, ...]:
    """The taps that match `patterns`, each once, in the order of the network.

    Patterns are names or wildcards: `block*`, `layer[34]`. Raises UnknownNameError for a pattern
    without a match, with similar names and a list of the taps.
    """
    chosen: set[str] = set()
    for pattern in patterns:
        found = [tap for tap in spec.taps if fnmatchcase(tap, pattern)]
        if not found:
            raise UnknownNameError(
                f"tap of {spec.name}", pattern, near_names(pattern, spec.taps), _hint(spec)
            )
        chosen.update(found)
    return tuple(tap for tap in spec.taps if tap in chosen)


def _hint(spec: Spec) -> str:
    taps = spec.taps
    shown = [*taps[:2], "...", taps[-1]] if len(taps) > 6 else taps
    return (
        f"Its taps are {', '.join(shown)}; patterns such as {taps[0].rstrip('0123456789')}* work."
    )
